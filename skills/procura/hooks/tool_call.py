"""Decides whether one call of a tool would show the agent `.env`, whatever the agent calls
its tools: what they are given is what counts."""

import json
import os
import shlex
import sys

import env_guard

# Fields of tools' inputs that name files; of tools that are not known here as well.
PATHS = (
    "file_path", "path", "notebook_path", "filename", "glob", "uri", "file", "absolute_path",
    "filePath", "paths", "include", "include_pattern", "target_file", "file_name", "fileName",
    "filepath", "abs_path",
)
COMMANDS = ("command", "cmd")


def refused(given, cwd, blind=False):
    """Why a call with these arguments is refused; nothing when it may pass. A `blind` tool
    shows no contents of the files that it is given."""
    if not (isinstance(given, dict) and isinstance(cwd, str)):
        raise TypeError
    for field in COMMANDS:
        command = given.get(field)
        if isinstance(command, list) and all(isinstance(word, str) for word in command):
            # Words are as good as a line.
            command = shlex.join(command)
        if isinstance(command, str):
            why = env_guard.refused(command, cwd)
            if why:
                return why
    if blind:
        return None
    for field in PATHS:
        values = given.get(field)
        for value in values if isinstance(values, list) else [values]:
            # What begins so is left out of a search.
            if not isinstance(value, str) or value.startswith("!"):
                continue
            path = value[len("file://") :] if value.startswith("file://") else value
            why = env_guard.path_refused(path, cwd)
            if why:
                return why
    for value in given.values():
        for one in value if isinstance(value, list) else [value]:
            why = refused(one, cwd) if isinstance(one, dict) else None
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
    except Exception as error:  # An agent that sees a hook break off goes on without it.
        return f"The hook cannot read this call ({type(error).__name__}), so it does not let it pass."


def below(cwd, given, fields):
    """The directory that a call begins in, where it names one of its own."""
    for field in fields:
        if isinstance(given, dict) and isinstance(given.get(field), str):
            return os.path.join(cwd, os.path.expanduser(given[field]))
    return cwd
