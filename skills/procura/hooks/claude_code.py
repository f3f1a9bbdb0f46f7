#!/usr/bin/env python3
"""A PreToolUse hook of Claude Code: refuses calls of tools that would read `.env`.

It reads the call as JSON on standard input. Exit code 0 lets it pass, 2 refuses it, and
standard error says why and what to do instead. What cannot be understood is refused.
"""

import json
import os
import sys

# Where it is installed is not for it to write to.
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import env_guard  # noqa: E402  (it is beside this file)

# Fields of tools' inputs that name files; of tools that are not known here as well.
PATHS = ("file_path", "path", "notebook_path", "filename", "glob", "uri", "file")
# Writing is not reading, and a list of names shows no contents.
BLIND = {"Write", "Glob", "LS"}


def refused(call):
    """Why the call is refused; nothing when it may pass."""
    tool, given, cwd = call["tool_name"], call.get("tool_input", {}), call.get("cwd", ".")
    if not (isinstance(tool, str) and isinstance(given, dict) and isinstance(cwd, str)):
        raise TypeError
    command = given.get("command")
    if isinstance(command, str):
        why = env_guard.refused(command, cwd)
        if why:
            return why
    if tool in BLIND:
        return None
    for field in PATHS:
        values = given.get(field)
        for value in values if isinstance(values, list) else [values]:
            if not isinstance(value, str):
                continue
            path = value[len("file://") :] if value.startswith("file://") else value
            why = env_guard.path_refused(path, cwd)
            if why:
                return why
    return None


def main():
    try:
        why = refused(json.load(sys.stdin))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"The hook cannot read this call ({type(error).__name__}), so it does not let it pass."
    if why:
        print(why, file=sys.stderr)
        return env_guard.REFUSE
    return env_guard.PASS


if __name__ == "__main__":
    sys.exit(main())
