#!/usr/bin/env python3
"""A hook of Cursor: refuses commands and reads that would show the agent `.env`.

It is for `beforeShellExecution`, `beforeReadFile`, `beforeTabFileRead`,
`beforeMCPExecution` and `preToolUse`. It reads the call as JSON on standard input and
answers on standard output; what cannot be understood is refused. The exit code is 0 either
way, since Cursor reads an answer with that alone; with `failClosed` in hooks.json a hook
that does not run at all lets nothing pass.
"""

import json
import os
import sys

# Where it is installed is not for it to write to.
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import env_guard  # noqa: E402  (it is beside this file)
import tool_call  # noqa: E402

READS = {"beforeReadFile", "beforeTabFileRead"}
TOOLS = {"beforeMCPExecution", "preToolUse"}
# Writing is not reading.
BLIND = {"Write", "Delete"}


def refused(call):
    """Why the call is refused; nothing when it may pass."""
    event = call["hook_event_name"]
    roots = call.get("workspace_roots") or ["."]
    cwd = call.get("cwd") or roots[0]
    if not isinstance(cwd, str):
        raise TypeError
    if event == "beforeShellExecution":
        return env_guard.refused(call["command"], cwd)
    if event in READS:
        return read_refused(call, cwd)
    if event in TOOLS:
        # Some versions give the arguments as the text of an object.
        given, tool = call.get("tool_input") or {}, call["tool_name"]
        if isinstance(given, str):
            given = json.loads(given)
        return tool_call.refused(given, cwd, tool in BLIND)
    # A hook that somebody put at another event has nothing to decide there.
    raise KeyError


def read_refused(call, cwd):
    """The file, and those that go along with it."""
    attached = call.get("attachments") or []
    files = [call["file_path"]]
    files += [one.get("file_path") or one.get("filePath") or "" for one in attached]
    for path in files:
        why = env_guard.path_refused(path, cwd)
        if why:
            return why
    return None


def main():
    why = tool_call.decided(refused)
    answer = {"permission": "allow"}
    if why:
        answer = {"permission": "deny", "user_message": why, "agent_message": why}
    print(json.dumps(answer))
    return env_guard.PASS


if __name__ == "__main__":
    sys.exit(main())
