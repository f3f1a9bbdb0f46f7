use super::*;
use serde_json::json;

fn service() -> Service {
    serde_json::from_value(json!({
        "name": "web", "version": 1, "mode": "observe",
        "routes": [{"prefix": "/api"}, {"prefix": "/api/admin", "mode": "enforce"}],
        "exceptions": [
            {"agent": "probe", "reason": "never signs"},
            {"route": "/old", "reason": "over", "until": "2026-11-20T00:00:00Z"},
        ],
        "gates": [], "created": "2026-11-01T00:00:00Z", "updated": "2026-11-01T00:00:00Z",
    }))
    .unwrap()
}

fn time(text: &str) -> Timestamp {
    format!("2026-11-21T{text}:00Z").parse().unwrap()
}

fn refused(at: &str, agent: Option<&str>, reason: &str, path: &str) -> String {
    let line = json!({
        "ts": time(at), "event": "would_reject", "service": "web", "method": "GET", "path": path,
        "reason": reason, "agent_id": agent, "profile": null, "ip": "10.0.0.7",
    });
    format!("{line}\n")
}

fn counted(at: &str, passed: u64, would_reject: u64) -> String {
    let line = json!({
        "ts": time(at), "event": "observed", "service": "web", "passed": passed, "would_reject": would_reject,
    });
    format!("{line}\n")
}

fn read<'a>(service: &'a Service, since: Option<&str>, files: &[&[u8]]) -> Tally<'a> {
    let mut tally = Tally::new(service, since.map(time), time("12:00"));
    for (number, file) in files.iter().enumerate() {
        tally.read(&format!("{number}.jsonl"), *file).unwrap();
    }
    tally
}

fn kinds(tally: &mut Tally<'_>) -> Vec<(String, String, String, u64)> {
    let none = || "-".to_owned();
    let groups = tally.take_groups().into_iter();
    groups
        .map(|group| {
            let agent = group.agent.map_or_else(none, |agent| agent.to_string());
            let route = group.route.map_or_else(none, |route| route.to_string());
            (agent, group.reason, route, group.count)
        })
        .collect()
}

#[test]
fn refusals_are_counted_by_agent_reason_and_route() {
    let service = service();
    let log = [
        refused("09:00", Some("scribe"), "bad_signature", "/api/1"),
        refused("09:01", Some("scribe"), "bad_signature", "/api/2"),
        refused("09:02", Some("scribe"), "bad_signature", "/api/admin/x"),
        refused("09:03", None, "missing_headers", "/"),
        refused("09:04", Some("probe"), "missing_headers", "/api"),
        refused("09:05", None, "missing_headers", "/old/page"),
        counted("09:06", 100, 6),
    ]
    .concat();
    let mut tally = read(&service, None, &[log.as_bytes()]);
    assert_eq!(tally.excepted, [1, 0]);
    assert_eq!((tally.passed, tally.counts, tally.lost), (100, 1, 0));
    assert_eq!(tally.period, Some((time("09:00"), time("09:06"))));
    let mut kinds = kinds(&mut tally);
    kinds.sort();
    let row = |agent: &str, reason: &str, route: &str, count| {
        (agent.to_owned(), reason.to_owned(), route.to_owned(), count)
    };
    assert_eq!(
        kinds,
        [
            // The exception for /old is over.
            row("-", "missing_headers", "-", 2),
            row("scribe", "bad_signature", "/api", 2),
            row("scribe", "bad_signature", "/api/admin", 1),
        ]
    );
}

#[test]
fn a_group_shows_its_last_and_where_it_came_from() {
    let service = service();
    let log = [
        refused("09:05", None, "malformed", "/last"),
        refused("09:01", None, "malformed", "/first"),
    ]
    .concat();
    let group = read(&service, None, &[log.as_bytes()])
        .take_groups()
        .remove(0);
    assert_eq!((group.first, group.last), (time("09:01"), time("09:05")));
    assert_eq!(group.example, "GET /last");
    assert_eq!(group.from, BTreeSet::from(["10.0.0.7".parse().unwrap()]));
}

#[test]
fn refusals_that_were_counted_and_have_no_line_are_missed() {
    let service = service();
    let line = |at| refused(at, None, "malformed", "/");
    // Of the first count it is not known where it began: the file was rotated there.
    let whole = [
        counted("09:00", 1, 40),
        line("09:01"),
        line("09:02"),
        counted("09:03", 1, 2),
    ]
    .concat();
    assert_eq!(read(&service, None, &[whole.as_bytes()]).lost, 0);
    let torn = [
        counted("09:00", 1, 40),
        line("09:01"),
        counted("09:03", 1, 2),
    ]
    .concat();
    assert_eq!(read(&service, None, &[torn.as_bytes()]).lost, 1);
    // A gate that was started anew counts anew: it has more lines than counts.
    let restarted = [
        counted("09:00", 1, 0),
        line("09:01"),
        line("09:02"),
        counted("09:03", 1, 1),
    ]
    .concat();
    assert_eq!(read(&service, None, &[restarted.as_bytes()]).lost, 0);
    // What the writer itself says that it lost is missed once.
    let said = format!(
        "{{\"ts\":\"{}\",\"event\":\"lines_lost\",\"count\":3}}\n",
        time("09:02")
    );
    let said = [counted("09:00", 1, 0), said, counted("09:03", 1, 3)].concat();
    assert_eq!(read(&service, None, &[said.as_bytes()]).lost, 3);
    // Each file has its own first count.
    let (one, two) = (counted("09:00", 1, 3), counted("09:01", 1, 3));
    assert_eq!(
        read(&service, None, &[one.as_bytes(), two.as_bytes()]).lost,
        0
    );
}

#[test]
fn before_a_time_nothing_counts() {
    let service = service();
    let log = [
        refused("08:00", None, "malformed", "/"),
        "torn\n".to_owned(),
        counted("08:30", 5, 1),
        // This one began before.
        counted("09:30", 7, 0),
        counted("10:30", 9, 0),
    ]
    .concat();
    let tally = read(&service, Some("09:00"), &[log.as_bytes()]);
    assert_eq!((tally.passed, tally.counts), (9, 1));
    assert_eq!((tally.damaged_lines, tally.groups.len()), (0, 0));
    assert_eq!(tally.period, Some((time("09:30"), time("10:30"))));
    let whole = read(&service, None, &[log.as_bytes()]);
    assert_eq!(
        (whole.passed, whole.counts, whole.damaged_lines),
        (21, 3, 1)
    );
    // When a line was torn is not known before the next: it may be of after.
    let log = [
        counted("08:30", 5, 0),
        "torn\n".to_owned(),
        counted("09:30", 7, 0),
    ]
    .concat();
    assert_eq!(
        read(&service, Some("09:00"), &[log.as_bytes()]).damaged_lines,
        1
    );
}

#[test]
fn damaged_lines_have_their_number_and_are_not_repeated() {
    let service = service();
    let good = counted("09:00", 5, 0);
    let canary = "canary-7e5d";
    let long = format!("{{\"x\":\"{}\"}}\n", "y".repeat(70_000));
    for (line, problem) in [
        (format!("{canary}\n"), "it is not JSON from column 1 on"),
        ("\n".to_owned(), "it is not JSON from column 0 on"),
        (
            format!("{{\"ts\":\"{canary}\"}}\n"),
            "time: is not an RFC 3339 time between 1970 and 9999",
        ),
        (
            "[]\n".to_owned(),
            "it is JSON and lacks what a line of an observe log has",
        ),
        (
            format!("\"{canary}\"\n"),
            "it is JSON and lacks what a line of an observe log has",
        ),
        (refused("09:01", None, canary, "/"), "reason: is no word"),
        (
            refused("09:01", Some("a..b"), "malformed", "/"),
            "agent_id: must be 1 to 64 of A-Z, a-z, 0-9, ., _ and -, without ..",
        ),
        (
            good.replace("observed", canary),
            "event: must be would_reject, observed or lines_lost",
        ),
        (
            good.replace(":5", ":-5"),
            "it is JSON and lacks what a line of an observe log has",
        ),
        (long, "it is longer than 64 KiB"),
    ] {
        let log = [good.as_str(), &line, &good].concat();
        let tally = read(&service, None, &[log.as_bytes()]);
        let expected = Damaged {
            file: "0.jsonl".to_owned(),
            line: 2,
            problem: problem.to_owned(),
        };
        assert_eq!(tally.damaged, [expected], "{line:.80}");
        assert_eq!(tally.counts, 2, "{line:.80}");
    }
    let bytes = [good.as_bytes(), b"\xff\xfe\n", good.as_bytes()].concat();
    assert_eq!(read(&service, None, &[&bytes]).damaged_lines, 1);
    // The last line of a log that is being written.
    let torn = [good.as_str(), &good[..40]].concat();
    assert_eq!(read(&service, None, &[torn.as_bytes()]).damaged[0].line, 2);
    let whole = [good.as_str(), good.trim_end()].concat();
    assert_eq!(read(&service, None, &[whole.as_bytes()]).counts, 2);
}

#[test]
fn what_is_something_else_is_not_counted() {
    let service = service();
    let not_read = |bytes: &[u8]| Tally::new(&service, None, time("12:00")).read("f", bytes);
    assert!(matches!(not_read(b"a,b\nc,d\n"), Err(NotRead::NoLog(1, _))));
    assert!(matches!(
        not_read(b"\x1f\x8b\x08\0"),
        Err(NotRead::Compressed)
    ));
    assert!(not_read(b"").is_ok());
}

#[test]
fn lines_about_other_services_are_passed_over() {
    let service = service();
    let log = [
        counted("09:00", 5, 0).replace("web", "shop"),
        counted("09:01", 2, 0),
    ]
    .concat();
    let tally = read(&service, None, &[log.as_bytes()]);
    assert_eq!(
        (tally.passed, tally.others),
        (2, BTreeSet::from(["shop".to_owned()]))
    );
}

#[test]
fn callers_cannot_fill_the_memory() {
    let service = service();
    let log: String = (0..MOST_GROUPS + 50)
        .map(|number| refused("09:00", Some(&format!("a{number}")), "unknown_agent", "/"))
        .chain([refused("09:01", Some("a7"), "unknown_agent", "/")])
        .collect();
    let mut tally = read(&service, None, &[log.as_bytes()]);
    assert_eq!((tally.groups.len(), tally.beyond), (MOST_GROUPS, 50));
    let first = tally.take_groups().remove(0);
    assert_eq!((first.agent.unwrap().as_str(), first.count), ("a7", 2));

    let torn = "x\n".repeat(MOST_DAMAGED + 5);
    for log in [
        counted("09:00", 1, 0) + &torn,
        torn.clone() + &counted("09:00", 1, 0),
    ] {
        let tally = read(&service, None, &[log.as_bytes()]);
        assert_eq!((tally.damaged.len(), tally.damaged_lines), (20, 25));
    }
}
