//! What daemons say of processes. Advisory, and shown to people: it is cut and
//! cleaned, never a reason to refuse.

use procura_types::wire::CallerReport;

/// Longest text in bytes. Six of these, escaped as JSON, fit into a row and an
/// entry beside all that a run names.
const MAX_TEXT: usize = 2048;

/// The report without control characters, which could deceive a terminal, and
/// not longer than a row has room for.
pub(crate) fn cleaned(report: CallerReport) -> CallerReport {
    let text = |text: Option<String>| text.map(|text| clean_text(&text));
    CallerReport {
        exe_sha256: text(report.exe_sha256),
        argv_sha256: text(report.argv_sha256),
        cwd: text(report.cwd),
        git: text(report.git),
        host: text(report.host),
        os: text(report.os),
        ..report
    }
}

fn clean_text(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let c = if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        };
        if out.len() + c.len_utf8() > MAX_TEXT {
            break;
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_length_are_taken_out() {
        let report = CallerReport {
            pid: Some(7),
            cwd: Some("/a\u{1b}[2Jb".to_owned()),
            host: Some("h".repeat(MAX_TEXT + 1)),
            ..CallerReport::default()
        };
        let clean = cleaned(report);
        assert_eq!(clean.pid, Some(7));
        assert_eq!(clean.cwd.as_deref(), Some("/a\u{fffd}[2Jb"));
        assert_eq!(clean.host.map(|host| host.len()), Some(MAX_TEXT));
    }
}
