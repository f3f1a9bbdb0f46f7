#!/usr/bin/env python3
"""Decides whether a command line or a path of a coding agent would read `.env`.

    env_guard.py command 'cat .env'
    env_guard.py path config/.env.local

Exit code 0 lets it pass, 2 refuses it with the reason on standard error, 64 says that it
was called wrongly. Only the standard library is used.
"""

import fnmatch
import os
import re
import shlex
import sys

PASS, REFUSE, MISUSE = 0, 2, 64

ADVICE = (
    "Values belong to Procura and not to you. Run the program with them instead: "
    "procura run --project PROJECT --env-file .env.example -- COMMAND "
    "(exit code 75: a person has to approve it, and the output has the line for them). "
    "Names are in .env.example, the documentation or the code."
)

# Endings of files that have names and no values.
NAMES_ALONE = {"example", "sample", "template", "dist", "defaults", "schema"}

# A name of such a file within a text; `process.env` and `name.env` are none.
MENTION = re.compile(r"(?<![\w.\-\]\)])\.env(?:rc\b|(?:\.[\w\-]+)*)(?![\w])", re.IGNORECASE)

# Programs that do not look into the files that they are given.
BLIND = {
    "ls", "stat", "test", "[", "[[", "rm", "unlink", "touch", "chmod", "chown", "chgrp",
    "echo", "printf", "mkdir", "basename", "dirname", "realpath", "readlink", "pwd", "cd",
    "true", "false", "exit", "procura", "fd", "which", "tree", "wait", "sleep", "du", "file",
}

# Subcommands of git that show no contents.
GIT_BLIND = {"check-ignore", "status", "ls-files", "rm", "update-index", "config"}

SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "ash", "fish"}
INTERPRETERS = SHELLS | {
    "python", "python2", "python3", "node", "nodejs", "deno", "bun", "ruby", "perl", "php",
    "lua", "awk", "gawk", "mawk", "sed", "jq", "yq", "xargs", "tclsh", "Rscript", "eval",
}

# Words before a program that are not it.
BEFORE = {
    "sudo", "command", "exec", "time", "nice", "nohup", "builtin", "then", "do", "else", "if",
    "while", "until", "!", "{", "stdbuf", "ionice", "setsid", "doas",
}

SEPARATORS = {";", "&", "&&", "|", "||", "|&", "(", ")", "\n", ";;", "$(", "`"}
ASSIGNMENT = re.compile(r"^[A-Za-z_]\w*\+?=")
HEREDOC = re.compile(r"<<-?\s*(['\"]?)([A-Za-z_]\w*)\1")
MOST_FILES = 20000


def is_secret_name(name):
    """Whether a file of this name holds values."""
    name = name.lower()
    if name == ".envrc":
        return True
    if name != ".env" and not name.startswith(".env."):
        return False
    return name.rsplit(".", 1)[-1] not in NAMES_ALONE


def is_secret_path(path, cwd="."):
    """Whether a path is such a file, or leads to one."""
    path = os.path.expanduser(path)
    if is_secret_name(os.path.basename(path.rstrip("/"))):
        return True
    real = os.path.realpath(os.path.join(cwd, path))
    return is_secret_name(os.path.basename(real))


def mentions(text):
    """Whether a text names such a file anywhere."""
    return any(is_secret_name(found.group(0)) for found in MENTION.finditer(text))


def globs_to_secret(word, cwd):
    """Whether a pattern of the shell would become such a file."""
    pattern = os.path.basename(word)
    if not any(sign in pattern for sign in "*?[{"):
        return False
    folder = os.path.join(cwd, os.path.expanduser(os.path.dirname(word)))
    try:
        there = os.listdir(folder)
    except OSError:
        there = []
    # Braces are written out by the shell before it looks for files.
    for one in braces(pattern):
        if not one.startswith((".", "[")):
            continue
        for name in there + [".env"]:
            # `.*` alone is every hidden file; it counts where there is such a one.
            if name == ".env" and one == ".*" and name not in there:
                continue
            if is_secret_name(name) and fnmatch.fnmatch(name, one):
                return True
    return False


def braces(pattern):
    found = re.search(r"\{([^{}]*)\}", pattern)
    if not found:
        return [pattern]
    head, tail = pattern[: found.start()], pattern[found.end() :]
    return [one for middle in found.group(1).split(",") for one in braces(head + middle + tail)]


def words_of(command):
    """The words of a command line, with what separates commands among them."""
    lexer = shlex.shlex(command.replace("\n", " ; "), posix=True, punctuation_chars="();<>|&`")
    lexer.whitespace_split = True
    lexer.commenters = ""
    return list(lexer)


def take_heredocs(command):
    """The command without the texts in it, and whether one of them is read as a program."""
    lines, kept, i = command.split("\n"), [], 0
    while i < len(lines):
        line = lines[i]
        kept.append(line)
        i += 1
        for _, mark in HEREDOC.findall(line):
            body = []
            while i < len(lines) and lines[i].strip() != mark:
                body.append(lines[i])
                i += 1
            i += 1
            try:
                program = program_of(words_of(line))[0]
            except ValueError:
                program = ""
            if program in INTERPRETERS and mentions("\n".join(body)):
                return None
    return "\n".join(kept)


def simple_commands(words):
    """The simple commands of a line, without where their output goes."""
    current, after_output = [], False
    for word in words:
        if after_output:
            after_output = False
            continue
        if word in SEPARATORS or set(word) <= set("();&|`"):
            if current:
                yield current
            current = []
        elif set(word) <= set("<>&|") and ">" in word and "<" not in word:
            # What is written is not read.
            after_output = True
            # The number of a descriptor is no argument.
            if current and current[-1].isdigit():
                current.pop()
        else:
            current.append(word)
    if current:
        yield current


def program_of(words):
    """The program of a simple command, and its arguments."""
    words = list(words)
    while words and (ASSIGNMENT.match(words[0]) or words[0] in BEFORE or words[0] == "$"):
        words.pop(0)
    if not words:
        return "", []
    return os.path.basename(words[0]), words[1:]


def refused(command, cwd="."):
    """Why a command line is refused; nothing when it may pass."""
    command = command.replace("\\\n", "")
    kept = take_heredocs(command)
    if kept is None:
        return "This would read .env. " + ADVICE
    try:
        words = words_of(kept)
    except ValueError:
        # Quotes that do not match: what is named counts.
        return "This would read .env. " + ADVICE if mentions(command) else None
    for simple in simple_commands(words):
        why = refused_simple(simple, cwd)
        if why:
            return why + " " + ADVICE
    return None


def refused_simple(words, cwd):
    program, arguments = program_of(words)
    # The assignments before it are looked at as well: X=$(cat .env).
    for word in words:
        if re.search(r"/proc/[^/\s]+/environ\b", word):
            return "This would print an environment."
    if prints_environment(program, arguments):
        return "This would print an environment."
    if program in SHELLS and "-c" in short_options(arguments):
        script = script_of(arguments)
        if script is not None:
            return inner(script, cwd)
    if program == "procura":
        return behind_procura(arguments, cwd)
    if program == "git" and (not arguments or subcommand(arguments) in GIT_BLIND):
        return None
    if program in BLIND and "<" not in words:
        return None
    if program == "find" and not set(arguments) & {"-exec", "-execdir", "-ok", "-okdir"}:
        return None
    for word in words:
        if word.startswith(("--exclude", "--glob=!", "--ignore")):
            continue
        text = word.split("=", 1)[1] if re.match(r"^-{0,2}[\w-]+=", word) else word
        # A sentence that names it is no path, except for who executes sentences.
        is_text = any(c.isspace() for c in word) and program not in INTERPRETERS
        if not is_text and (mentions(word) or globs_to_secret(text, cwd)):
            return "This would read .env."
        if not word.startswith("-") and not is_text and leads_to_secret(text, cwd):
            return "This would read .env, by another name."
    if searches_all(program, arguments) and has_secret_below(arguments, cwd):
        return "This would search through .env too; leave it out with --exclude='.env*'."
    return None


def inner(script, cwd):
    why = refused(script, cwd)
    return why[: -len(" " + ADVICE)] if why and why.endswith(" " + ADVICE) else why


def leads_to_secret(word, cwd):
    return os.path.exists(os.path.join(cwd, os.path.expanduser(word))) and is_secret_path(word, cwd)


def short_options(arguments):
    found = set()
    for word in arguments:
        if word.startswith("-") and not word.startswith("--"):
            found.update("-" + letter for letter in word[1:])
    return found


def script_of(arguments):
    for i, word in enumerate(arguments):
        if re.match(r"^-[A-Za-z]*c$", word) and i + 1 < len(arguments):
            return arguments[i + 1]
    return None


def subcommand(arguments):
    skip = False
    for word in arguments:
        if skip:
            skip = False
        elif word in ("-C", "-c"):
            skip = True
        elif not word.startswith("-"):
            return word
    return ""


def prints_environment(program, arguments):
    if program == "printenv":
        return True
    if program == "env":
        # A command behind it makes it another one.
        rest = [w for w in arguments if not ASSIGNMENT.match(w) and not w.startswith("-")]
        return not rest
    if program in ("export", "declare", "typeset") and set(arguments) & {"-p", "-x", "-px", "-xp"}:
        return all(word.startswith("-") for word in arguments)
    return program in ("set", "export") and not arguments


def behind_procura(arguments, cwd):
    """`procura` takes names alone from a file; the command that it runs is as any other."""
    if "--" in arguments:
        behind = arguments[arguments.index("--") + 1 :]
        if behind:
            return refused_simple(behind, cwd)
    return None


def searches_all(program, arguments):
    if any(word.startswith(("--exclude=.env", "--exclude=*.env", "--glob=!.env")) for word in arguments):
        return False
    if program in ("grep", "egrep", "fgrep", "zgrep"):
        return bool(short_options(arguments) & {"-r", "-R"}) or "--recursive" in arguments
    if program in ("rg", "ag", "ack"):
        return bool({"--hidden", "--unrestricted", "-."} & set(arguments)) or any(
            re.match(r"^-u{2,}$", word) for word in arguments
        )
    return False


def has_secret_below(arguments, cwd):
    folders = [w for w in arguments if os.path.isdir(os.path.join(cwd, os.path.expanduser(w)))]
    seen = 0
    for folder in folders or ["."]:
        for _, directories, files in os.walk(os.path.join(cwd, os.path.expanduser(folder))):
            directories[:] = [name for name in directories if name not in (".git", "node_modules", "target")]
            if any(is_secret_name(name) for name in files):
                return True
            seen += len(files)
            if seen > MOST_FILES:
                # Nobody knows what else is there.
                return True
    return False


def path_refused(path, cwd="."):
    """Why a path is refused; nothing when it may pass."""
    if is_secret_path(path, cwd) or globs_to_secret(path, cwd) or mentions(os.path.basename(path)):
        return "This file has values of secrets. " + ADVICE
    if re.search(r"/proc/[^/\s]+/environ$", path):
        return "This is an environment. " + ADVICE
    return None


def main(arguments):
    if len(arguments) != 2 or arguments[0] not in ("command", "path"):
        print(__doc__.strip(), file=sys.stderr)
        return MISUSE
    decide = refused if arguments[0] == "command" else path_refused
    why = decide(arguments[1])
    if why:
        print(why, file=sys.stderr)
        return REFUSE
    return PASS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
