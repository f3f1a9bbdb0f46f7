//! What each coding agent gives its hook, and how it is answered.

use super::{hook, project};
use procura_acceptance::Outcome;
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What Claude Code gives its hooks, for one call of a tool.
fn call(folder: &Path, tool: &str, given: &Value) -> Value {
    json!({
        "session_id": "0d6e5a2e-9d0e-4c1c-8f0e-6a4f3a2b1c0d",
        "transcript_path": "/home/u/.claude/projects/x/t.jsonl",
        "cwd": folder,
        "permission_mode": "default",
        "hook_event_name": "PreToolUse",
        "tool_name": tool,
        "tool_input": given,
    })
}

fn asked(name: &str, input: &str) -> Outcome {
    let mut child = Command::new("/usr/bin/python3")
        .arg(hook(name))
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap().into()
}

#[test]
fn calls_of_tools_are_decided_by_what_they_would_show() {
    let folder = project();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (tool, given, code) in [
        ("Read", json!({ "file_path": at(".env") }), 2),
        ("Read", json!({ "file_path": at("settings") }), 2),
        (
            "Read",
            json!({ "file_path": at("conf/prod"), "limit": 5 }),
            2,
        ),
        ("Read", json!({ "file_path": at(".env.example") }), 0),
        ("Read", json!({ "file_path": at("names") }), 0),
        ("Read", json!({ "file_path": at("src/a.py") }), 0),
        (
            "Edit",
            json!({ "file_path": at(".env"), "old_string": "a", "new_string": "b" }),
            2,
        ),
        (
            "Write",
            json!({ "file_path": at(".env.example"), "content": "A=\n" }),
            0,
        ),
        (
            "Bash",
            json!({ "command": "cat .env", "description": "look" }),
            2,
        ),
        // Relative names are the tool's directory's, not the hook's.
        ("Bash", json!({ "command": "cat settings" }), 2),
        ("Bash", json!({ "command": "grep -r KEY ." }), 2),
        ("Bash", json!({ "command": "npm test" }), 0),
        (
            "Bash",
            json!({ "command": "procura run --project shop --env-file .env -- npm test" }),
            0,
        ),
        (
            "Grep",
            json!({ "pattern": "KEY", "glob": "**/.env*", "output_mode": "content" }),
            2,
        ),
        ("Grep", json!({ "pattern": "KEY", "path": at(".env") }), 2),
        ("Grep", json!({ "pattern": "\\.env", "path": at("src") }), 0),
        ("Glob", json!({ "pattern": "**/.env*" }), 0),
        (
            "mcp__files__read",
            json!({ "path": "file:///srv/.env.local" }),
            2,
        ),
        ("mcp__files__read_all", json!({ "path": ["a", ".env"] }), 2),
        (
            "mcp__files__read_all",
            json!({ "files": [{ "path": "a" }, { "path": ".env" }] }),
            2,
        ),
        (
            "shell",
            json!({ "command": ["bash", "-lc", "cat .env"] }),
            2,
        ),
        (
            "shell",
            json!({ "command": ["bash", "-lc", "npm test"] }),
            0,
        ),
        ("Grep", json!({ "pattern": "KEY", "glob": "!.env" }), 0),
        (
            "WebFetch",
            json!({ "url": "https://x.example/.env", "prompt": "p" }),
            0,
        ),
    ] {
        let input = call(folder.path(), tool, &given).to_string();
        let outcome = asked("claude_code.py", &input);
        assert_eq!(outcome.code, code, "{tool} {given}: {}", outcome.stderr);
        assert_eq!(outcome.stderr.is_empty(), code == 0, "{}", outcome.stderr);
    }
}

/// What Gemini CLI gives its hooks.
fn gemini_call(folder: &Path, tool: &str, given: &Value) -> Value {
    json!({
        "session_id": "0d6e5a2e-9d0e-4c1c-8f0e-6a4f3a2b1c0d",
        "transcript_path": "/home/u/.gemini/tmp/x/chats/t.json",
        "cwd": folder,
        "hook_event_name": "BeforeTool",
        "timestamp": "2026-11-01T12:00:00.000Z",
        "tool_name": tool,
        "tool_input": given,
    })
}

#[test]
fn gemini_cli_is_told_by_the_exit_code_and_on_standard_error_alone() {
    let folder = project();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (tool, given, code) in [
        ("read_file", json!({ "file_path": at(".env") }), 2),
        ("read_file", json!({ "file_path": ".env" }), 2),
        ("read_file", json!({ "absolute_path": at("settings") }), 2),
        ("read_file", json!({ "file_path": at(".env.example") }), 0),
        ("read_file", json!({ "file_path": at("src/a.py") }), 0),
        (
            "read_many_files",
            json!({ "include": ["src/*.py", ".env"] }),
            2,
        ),
        ("read_many_files", json!({ "paths": ["conf/prod"] }), 2),
        ("read_many_files", json!({ "include": ["src/*.py"] }), 0),
        (
            "grep_search",
            json!({ "pattern": "KEY", "include": "**/.env*" }),
            2,
        ),
        (
            "search_file_content",
            json!({ "pattern": "\\.env", "dir_path": "src" }),
            0,
        ),
        ("glob", json!({ "pattern": "**/.env*" }), 0),
        ("list_directory", json!({ "dir_path": at("src") }), 0),
        (
            "replace",
            json!({ "file_path": at(".env"), "old_string": "a", "new_string": "b" }),
            2,
        ),
        (
            "write_file",
            json!({ "file_path": at(".env.example"), "content": "A=\n" }),
            0,
        ),
        ("run_shell_command", json!({ "command": "cat .env" }), 2),
        // Relative names are the command's directory's, and that is the project's.
        ("run_shell_command", json!({ "command": "cat settings" }), 2),
        (
            "run_shell_command",
            json!({ "command": "cat prod", "dir_path": "conf" }),
            2,
        ),
        (
            "run_shell_command",
            json!({ "command": "cat prod", "dir_path": "src" }),
            0,
        ),
        ("run_shell_command", json!({ "command": "npm test" }), 0),
        (
            "run_shell_command",
            json!({ "command": "procura run --project shop --env-file .env -- npm test" }),
            0,
        ),
        (
            "mcp__files__read",
            json!({ "uri": "file:///srv/.env.local" }),
            2,
        ),
    ] {
        let input = gemini_call(folder.path(), tool, &given).to_string();
        let outcome = asked("gemini_cli.py", &input);
        assert_eq!(outcome.code, code, "{tool} {given}: {}", outcome.stderr);
        assert_eq!(outcome.stderr.is_empty(), code == 0, "{}", outcome.stderr);
        // It would be taken for an answer.
        assert_eq!(outcome.text(), "", "{tool} {given}");
    }
}

/// What Cursor gives its hooks: what they all get, and what this one does.
fn cursor_call(folder: &Path, event: &str, given: &Value) -> Value {
    let mut call = json!({
        "conversation_id": "0d6e5a2e-9d0e-4c1c-8f0e-6a4f3a2b1c0d",
        "generation_id": "5a2e0d6e-9d0e-4c1c-8f0e-6a4f3a2b1c0d",
        "model": "any",
        "cursor_version": "2.0.77",
        "user_email": null,
        "hook_event_name": event,
        "workspace_roots": [folder],
    });
    let more = given.as_object().unwrap().clone();
    call.as_object_mut().unwrap().extend(more);
    call
}

/// What the hook answers, which has to be all that it says; whether it lets it pass.
fn cursor_answer(input: &str) -> (bool, Value) {
    let outcome = asked("cursor.py", input).ok();
    assert_eq!(outcome.stderr, "");
    let answer = outcome.json();
    let passes = match answer["permission"].as_str() {
        Some("allow") => true,
        Some("deny") => false,
        _ => panic!("{answer}"),
    };
    // Who is refused is told why, the person and the agent.
    for reader in ["user_message", "agent_message"] {
        assert_eq!(answer[reader].is_string(), !passes, "{answer}");
    }
    (passes, answer)
}

#[test]
fn cursor_is_answered_in_its_own_words() {
    let folder = project();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let shell = |command: &str| json!({ "command": command, "cwd": folder.path() });
    let read = |name: &str| json!({ "file_path": at(name), "content": "A=1\n" });
    let (shells, reads) = ("beforeShellExecution", "beforeReadFile");
    for (event, given, passes) in [
        (shells, shell("cat .env"), false),
        (shells, shell("cat settings"), false),
        (shells, shell("npm test"), true),
        (
            shells,
            shell("procura run --project shop --env-file .env -- npm test"),
            true,
        ),
        // Without a directory of its own it begins in the workspace.
        (
            shells,
            json!({ "command": "cat settings", "cwd": "" }),
            false,
        ),
        (shells, json!({ "command": "cat names" }), true),
        (reads, read(".env"), false),
        (reads, read("settings"), false),
        (reads, read(".env.example"), true),
        (reads, read("src/a.py"), true),
        ("beforeTabFileRead", read(".env.local"), false),
        ("beforeTabFileRead", read("src/a.py"), true),
        (
            reads,
            json!({
                "file_path": at("src/a.py"),
                "attachments": [{ "type": "file", "filePath": at(".env") }],
            }),
            false,
        ),
        (
            reads,
            json!({
                "file_path": at("src/a.py"),
                "attachments": [{ "type": "rule", "file_path": at("names") }],
            }),
            true,
        ),
        (
            "beforeMCPExecution",
            json!({ "tool_name": "read", "tool_input": "{\"path\": \"conf/prod\"}" }),
            false,
        ),
        (
            "beforeMCPExecution",
            json!({ "tool_name": "query", "tool_input": "{\"sql\": \"select 1\"}" }),
            true,
        ),
        (
            "preToolUse",
            json!({ "tool_name": "Grep", "tool_input": { "pattern": "KEY", "glob": ".env*" } }),
            false,
        ),
        (
            "preToolUse",
            json!({ "tool_name": "Shell", "tool_input": { "command": "cat .env" } }),
            false,
        ),
        (
            "preToolUse",
            json!({ "tool_name": "Write", "tool_input": { "file_path": at(".env.example") } }),
            true,
        ),
        // Nothing is let pass where nobody knows what it is about.
        ("beforeSomethingNew", shell("npm test"), false),
    ] {
        let input = cursor_call(folder.path(), event, &given).to_string();
        let (passed, answer) = cursor_answer(&input);
        assert_eq!(passed, passes, "{event} {given}: {answer}");
    }
    let (_, answer) = cursor_answer(&cursor_call(folder.path(), reads, &read(".env")).to_string());
    let next = "procura run --project PROJECT --env-file .env.example -- COMMAND";
    assert!(answer["agent_message"].as_str().unwrap().contains(next));
}

#[test]
fn what_cannot_be_understood_is_refused() {
    const CANNOT: &str = "The hook cannot read this call";
    for input in [
        "",
        "garbage",
        "[]",
        "null",
        "{}",
        r#"{"tool_name":"Bash","tool_input":[]}"#,
        r#"{"tool_name":"Bash","tool_input":{"command":"ls"},"cwd":7}"#,
        r#"{"tool_name":["Bash"],"tool_input":{}}"#,
    ] {
        for name in ["claude_code.py", "gemini_cli.py"] {
            let outcome = asked(name, input);
            assert_eq!(outcome.code, 2, "{name}: {input}");
            assert!(
                outcome.stderr.starts_with(CANNOT),
                "{name}: {input}: {}",
                outcome.stderr
            );
        }
    }
    for input in [
        "",
        "garbage",
        "[]",
        "{}",
        r#"{"hook_event_name":"beforeShellExecution"}"#,
        r#"{"hook_event_name":"beforeShellExecution","command":7}"#,
        r#"{"hook_event_name":"beforeShellExecution","command":"ls","cwd":7}"#,
        r#"{"hook_event_name":"beforeReadFile","file_path":["a"]}"#,
        r#"{"hook_event_name":"beforeReadFile","file_path":"a","attachments":["b"]}"#,
        r#"{"hook_event_name":"beforeMCPExecution","tool_name":"x","tool_input":"{"}"#,
        r#"{"hook_event_name":["preToolUse"],"tool_name":"x"}"#,
    ] {
        let (passed, answer) = cursor_answer(input);
        assert!(!passed, "{input}");
        let why = answer["agent_message"].as_str().unwrap();
        assert!(why.starts_with(CANNOT), "{input}: {why}");
    }
}

#[test]
fn the_settings_that_are_shown_name_a_hook_that_is_there() {
    let page = fs::read_to_string(hook("README.md")).unwrap();
    let blocks: Vec<Value> = page
        .split("```json\n")
        .skip(1)
        .map(|part| serde_json::from_str(part.split("```").next().unwrap()).unwrap())
        .collect();
    let [claude, cursor, gemini] = blocks.as_slice() else {
        panic!("{blocks:?}");
    };
    let names = |command: &Value, name: &str| {
        let named = command.as_str().unwrap().rsplit('/').next().unwrap();
        assert_eq!(named.trim_end_matches('"'), name);
        assert!(hook(name).is_file(), "{command}");
    };
    let entry = &claude["hooks"]["PreToolUse"][0];
    names(&entry["hooks"][0]["command"], "claude_code.py");
    let entry = &gemini["hooks"]["BeforeTool"][0];
    assert_eq!(entry["hooks"][0]["type"], "command");
    names(&entry["hooks"][0]["command"], "gemini_cli.py");
    assert_eq!(cursor["version"], 1);
    let events = cursor["hooks"].as_object().unwrap();
    for event in ["beforeShellExecution", "beforeReadFile"] {
        assert!(events.contains_key(event), "{event}");
    }
    for (event, entries) in events {
        // A hook that does not run lets nothing pass.
        assert_eq!(entries[0]["failClosed"], true, "{event}");
        names(&entries[0]["command"], "cursor.py");
    }
}
