//! Values as files and as the standard input of the command.

use crate::run::{code, host, run, text, values};
use procura_types::{Delivery, exit};
use std::process::{Command, Output, Stdio};

const BYTES: &[u8] = b"a\0b\n\xff<&>\"'";

/// `procura run`, with what it prints.
fn ran(command: &mut Command) -> Output {
    command.stdin(Stdio::piped()).output().unwrap()
}

#[test]
fn files_hold_the_exact_bytes_and_cannot_be_written() {
    let host = host([values(&[("A", BYTES), ("EMPTY", b"")])]);
    let script = r#"cat "$A"; echo; wc -c < "$EMPTY"; case $A$EMPTY in /proc/self/fd/*/proc/self/fd/*) echo paths;; esac
        printf x 2>/dev/null >> "$A" && echo written; sh -c 'cat "$A"'"#;
    let output = ran(&mut run(
        &host,
        &["--delivery", "file"],
        &["sh", "-c", script],
    ));
    let twice = [BYTES, b"\n0\npaths\n", BYTES].concat();
    assert_eq!(output.stdout, twice, "{}", text(&output.stderr));
    assert_eq!(host.fake.script().asked[0].delivery, Delivery::File);
}

#[test]
fn no_value_of_a_file_is_in_the_environment() {
    let host = host([values(&[("A", b"planted-value")])]);
    let script = "cat /proc/self/environ; ls -l /proc/self/fd; stat -Lc %a $A";
    let output = ran(&mut run(
        &host,
        &["--delivery", "file"],
        &["sh", "-c", script],
    ));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("A=/proc/self/fd/"), "{said}");
    assert!(!said.contains("planted-value"), "{said}");
    assert_eq!(said.lines().last(), Some("400"));
    assert_eq!(said.matches("memfd:procura").count(), 1, "{said}");
}

#[test]
fn a_large_value_that_no_variable_can_hold_is_a_file() {
    let large = vec![b'x'; 300_000];
    let host = host([values(&[("A", &large)]), values(&[("A", &large)])]);
    let output = ran(&mut run(
        &host,
        &["--delivery", "file"],
        &["sh", "-c", "wc -c < $A"],
    ));
    assert_eq!(text(&output.stdout), "300000\n");
    let refused = ran(&mut run(&host, &[], &["true"]));
    assert_eq!(code(&refused), exit::REFUSED);
    assert!(text(&refused.stderr).contains("longer than an environment variable"));
}

#[test]
fn standard_input_is_the_value_and_ends() {
    let host = host([values(&[("A", BYTES)])]);
    let options = ["--delivery", "stdin", "--name", "A"];
    let output = ran(&mut run(
        &host,
        &options,
        &["sh", "-c", "cat; echo; echo ${A-unset}"],
    ));
    assert_eq!(output.stdout, [BYTES, b"\nunset\n"].concat());
    let asked = &host.fake.script().asked[0];
    assert_eq!((asked.delivery, asked.names.len()), (Delivery::Stdin, 1));
}

#[test]
fn standard_input_takes_one_name_and_other_ways_are_refused() {
    let host = host([values(&[("A", b"planted-value")])]);
    for (options, part) in [
        (&["--delivery", "stdin"][..], "one --name"),
        (
            &["--delivery", "stdin", "--name", "A", "--name", "B"],
            "one --name",
        ),
        (&["--delivery", "http"], "in the way http"),
    ] {
        let output = ran(&mut run(&host, options, &["true"]));
        assert_eq!(code(&output), exit::USAGE, "{options:?}");
        let said = text(&output.stderr);
        assert!(said.contains(part), "{said}");
    }
    // Before anything was asked, so that nothing was released in vain.
    assert!(host.fake.script().asked.is_empty());
}

#[test]
fn a_loader_variable_is_not_made_to_name_a_file() {
    let host = host([values(&[("LD_PRELOAD", b"planted-value")])]);
    let output = ran(&mut run(&host, &["--delivery", "file"], &["true"]));
    assert_eq!(code(&output), exit::REFUSED);
    assert!(text(&output.stderr).contains("LD_PRELOAD is a variable of the loader"));
}
