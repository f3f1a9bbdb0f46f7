"""Decides whether one call of a tool would show the agent `.env`, whatever the agent calls
its tools: what they are given is what counts."""

import json
import os
import sys

import env_guard

# Fields of tools' inputs that name files; of tools that are not known here as well.
PATHS = (
    "file_path", "path", "notebook_path", "filename", "glob", "uri", "file", "absolute_path",
    "filePath", "paths", "include", "include_pattern", "target_file",
)
COMMANDS = ("command", "cmd")


def refused(given, cwd, blind=False):
    """Why a call with these arguments is refused; nothing when it may pass. A `blind` tool
    shows no contents of the files that it is given."""
    if not (isinstance(given, dict) and isinstance(cwd, str)):
        raise TypeError
    for field in COMMANDS:
        command = given.get(field)
        if isinstance(command, str):
            why = env_guard.refused(command, cwd)
            if why:
                return why
    if blind:
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


def decided(decide):
    """Reads a call from standard input; why it is refused, also when it cannot be read."""
    try:
        call = json.load(sys.stdin)
        if not isinstance(call, dict):
            raise TypeError
        return decide(call)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"The hook cannot read this call ({type(error).__name__}), so it does not let it pass."


def below(cwd, given, fields):
    """The directory that a call begins in, where it names one of its own."""
    for field in fields:
        if isinstance(given, dict) and isinstance(given.get(field), str):
            return os.path.join(cwd, os.path.expanduser(given[field]))
    return cwd
