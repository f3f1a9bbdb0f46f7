#!/usr/bin/env python3
"""A PreToolUse hook of Claude Code: refuses calls of tools that would read `.env`.

It reads the call as JSON on standard input. Exit code 0 lets it pass, 2 refuses it, and
standard error says why and what to do instead. What cannot be understood is refused.
"""

import os
import sys

# Where it is installed is not for it to write to.
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import env_guard  # noqa: E402  (it is beside this file)
import tool_call  # noqa: E402

# Writing is not reading, and a list of names shows no contents.
BLIND = {"Write", "Glob", "LS"}


def refused(call):
    """Why the call is refused; nothing when it may pass."""
    tool, given, cwd = call["tool_name"], call.get("tool_input", {}), call.get("cwd", ".")
    if not isinstance(tool, str):
        raise TypeError
    return tool_call.refused(given, cwd, tool in BLIND)


def main():
    why = tool_call.decided(refused)
    if why:
        print(why, file=sys.stderr)
        return env_guard.REFUSE
    return env_guard.PASS


if __name__ == "__main__":
    sys.exit(main())
