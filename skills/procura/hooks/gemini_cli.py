#!/usr/bin/env python3
"""A BeforeTool hook of Gemini CLI: refuses calls of tools that would read `.env`.

It reads the call as JSON on standard input. Exit code 0 lets it pass; 2 refuses it, and
standard error is what the agent is told. What cannot be understood is refused. Nothing is
ever printed on standard output, which Gemini CLI would read as an answer.
"""

import os
import sys

# Where it is installed is not for it to write to.
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import env_guard  # noqa: E402  (it is beside this file)
import tool_call  # noqa: E402

# Writing is not reading, and a list of names shows no contents.
BLIND = {"write_file", "glob", "list_directory"}
# Where a command begins, if not in the project.
FOLDERS = ("dir_path", "directory")


def refused(call):
    """Why the call is refused; nothing when it may pass."""
    tool, given, cwd = call["tool_name"], call.get("tool_input", {}), call.get("cwd", ".")
    if not (isinstance(tool, str) and isinstance(cwd, str)):
        raise TypeError
    return tool_call.refused(given, tool_call.below(cwd, given, FOLDERS), tool in BLIND)


def main():
    why = tool_call.decided(refused)
    if why:
        print(why, file=sys.stderr)
        return env_guard.REFUSE
    return env_guard.PASS


if __name__ == "__main__":
    sys.exit(main())
