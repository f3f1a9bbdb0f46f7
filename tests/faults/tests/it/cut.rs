//! A kill never tests the sync: what the kernel still held is kept. Here the
//! write-ahead log is cut where it ended when a write was acknowledged, and at
//! random bytes after: what was acknowledged by then must be there, and the rest
//! must be gone without a trace of damage.

use procura_acceptance::Installation;
use std::fs;
use std::path::{Path, PathBuf};

fn wal(home: &Path) -> PathBuf {
    home.join("procura.db-wal")
}

/// Copies a home as it stands, but its locks and sockets. The published files are
/// copied first: what they say was durable before.
fn copy(from: &Path, to: &Path) -> u64 {
    copy_tree(&from.join("ledger"), &to.join("ledger"));
    let length = fs::metadata(wal(from)).unwrap().len();
    copy_tree(from, to);
    length
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if target.exists() || entry.file_name().to_string_lossy().ends_with(".reserve") {
            continue;
        }
        if kind.is_dir() {
            copy_tree(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

#[test]
fn a_log_cut_at_or_after_an_acknowledgement_holds_what_was_acknowledged() {
    let mut server = Installation::ready();
    server.stop();
    server.start_again();
    server.unseal().ok();
    let home = server.home();
    let keep = server.folder().join("copies");
    let mut copies = Vec::new();
    for number in 0..4u64 {
        server.put(
            "default",
            &format!("cut/{number}"),
            format!("value-{number}").as_bytes(),
        );
        let place = keep.join(number.to_string());
        let length = copy(&home, &place);
        copies.push((number, place, length));
    }
    server.kill();
    let genuine = server.folder().join("genuine");
    fs::rename(&home, &genuine).unwrap();
    for (number, place, length) in copies {
        let whole = fs::read(wal(&place)).unwrap();
        let more = whole.len() as u64 - length.min(whole.len() as u64);
        for after in [0, more / 3, more] {
            fs::create_dir_all(&home).unwrap();
            fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700))
                .unwrap();
            copy_tree(&place, &home);
            fs::write(wal(&home), &whole[..(length + after) as usize]).unwrap();
            server.start_again();
            server.unseal().ok();
            for earlier in 0..=number {
                let read = server
                    .cli(&["secret", "get", &format!("cut/{earlier}")])
                    .ok();
                assert_eq!(
                    read.text(),
                    format!("value-{earlier}"),
                    "cut {after} bytes after write {number}"
                );
            }
            let status = server.cli(&["--json", "status", "--deep"]).ok().json();
            assert_eq!(status["deep"], serde_json::json!([]), "{status}");
            server.kill();
            fs::remove_dir_all(&home).unwrap();
        }
    }
    fs::rename(&genuine, &home).unwrap();
}

#[test]
fn a_failed_sync_is_told_and_nothing_is_lost_by_it() {
    let mut server = Installation::ready();
    server.put("default", "before", b"kept");
    server.stop();
    // From its 12th sync on a thread gets EIO, as from a dying disk.
    let inject = [
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        "inject=fsync,fdatasync:error=EIO:when=12+",
    ];
    server.start_again_under(&[&["strace", "-f", "-o", "/dev/null"], &inject[..]].concat());
    server.unseal().ok();
    let mut refused = None;
    for number in 0..60 {
        let put = server.cli_with(&["secret", "put", &format!("during/{number}")], b"v");
        if put.code != 0 {
            refused = Some((number, put));
            break;
        }
    }
    let (number, put) = refused.expect("a write was refused after the disk failed");
    // Of the write whose sync failed nobody knows; one that came after it, when work of
    // the server's own met the failure first, was not tried.
    let told = ["outcome_unknown", "store_unavailable"];
    assert!(
        told.iter().any(|code| put.stderr.contains(code)),
        "{}",
        put.stderr
    );
    let health = std::process::Command::new(procura_acceptance::program("procura"))
        .args(["status"])
        .env("PROCURA_HOME", server.home())
        .env("PROCURA_SERVER", server.url())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&health.stdout).into_owned()
        + &String::from_utf8_lossy(&health.stderr);
    assert!(text.contains("store"), "status says why: {text}");
    // The server is the child of its tracer, which ends with it.
    let pid = server.pid();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let killed = std::process::Command::new("sh")
        .args(["-c", "kill -9 \"$0\"", children.trim()])
        .status()
        .unwrap();
    assert!(killed.success());
    server.stop();
    server.start_again();
    server.unseal().ok();
    assert_eq!(server.cli(&["secret", "get", "before"]).ok().text(), "kept");
    for acknowledged in 0..number {
        server
            .cli(&["secret", "get", &format!("during/{acknowledged}")])
            .ok();
    }
}
