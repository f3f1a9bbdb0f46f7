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
import sys

from shell_line import ASSIGNMENT, HEREDOC, OUTPUT, parts_of, program_of, simple_commands, words_of

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
GIT_BLIND = {"check-ignore", "status", "ls-files", "rm", "update-index"}

# Options with which `git log` says which commits there are, and not what is in them.
LOG_BLIND = re.compile(r"^(-\d+|-n\d*|--(oneline|all|follow|name-only|name-status|stat|format=.*))$")

# What is written last is where the others go: it is not read.
WRITES_LAST = {"cp", "mv", "ln", "install"}

SEARCHES = {"grep", "egrep", "fgrep", "zgrep", "rg", "ag", "ack"}

SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "ash", "fish"}
INTERPRETERS = SHELLS | {
    "python", "python2", "python3", "node", "nodejs", "deno", "bun", "ruby", "perl", "php",
    "lua", "awk", "gawk", "mawk", "sed", "jq", "yq", "xargs", "tclsh", "Rscript", "eval",
    "ipython", "pypy", "tsx", "ts-node", "osascript", "pwsh", "powershell", "cmd", "psql",
    "sqlite", "mysql", "vi", "vim", "nvim", "ex", "emacs", "gdb", "expect",
}

# Programs that have a shell read the lines that they are given.
RUNNERS = {
    "alias", "trap", "watch", "script", "su", "ssh", "wsl", "tmux", "screen", "nix-shell", "at",
    "concurrently",
}

# Programs that print the names that they are given or find.
NAMING = {"ls", "find", "fd", "fdfind", "realpath", "readlink", "echo", "printf", "basename", "locate"}

# Tests of `find` that look at names, and what they are held against.
NAME_TESTS = {"-name", "-iname", "-path", "-ipath", "-wholename", "-iwholename", "-regex", "-iregex"}
NAMES = (".env", ".env.local", ".envrc")
EXECUTES = {"-exec", "-execdir", "-ok", "-okdir"}

MOST_FILES = 20000
MOST_WORDS = 1000


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
    written = braces(pattern)
    if written is None:
        # Mostly data, such as JSON, that is no name at all.
        return pattern.startswith(".") or "env" in pattern.lower()
    for one in written:
        # What the shell writes in another way than `fnmatch`.
        one = re.sub(r"\[\[:\w+:\]\]", "?", one).replace("[^", "[!")
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
    """What a pattern with braces is written out as; nothing when that is too much."""
    waiting, written, steps = [pattern], [], 0
    while waiting:
        steps += 1
        if steps > 4 * MOST_WORDS:
            return None
        one = waiting.pop()
        found = re.search(r"\{([^{}]*)\}", one)
        if not found:
            written.append(one)
            continue
        head, tail = one[: found.start()], one[found.end() :]
        waiting += [head + middle + tail for middle in found.group(1).split(",")]
        if len(waiting) + len(written) > MOST_WORDS:
            return None
    return written


def take_heredocs(command, cwd):
    """The command without the texts in it, and those in which the shell substitutes; nothing
    when one of them is a program that would read such a file."""
    lines, kept, open_texts, i = command.split("\n"), [], [], 0
    while i < len(lines):
        line = lines[i]
        kept.append(line)
        i += 1
        for quote, mark in HEREDOC.findall(line):
            ends = [k for k in range(i, len(lines)) if lines[k].strip() == mark]
            if not ends:
                # It was a shift of bits, or a text that names one.
                continue
            body, i = "\n".join(lines[i : ends[0]]), ends[0] + 1
            if not quote:
                open_texts.append(body)
            programs = readers(line)
            if any(map(interprets, programs)) and mentions(body):
                return None
            # Once, however many read it: a text may have others in it, and so on.
            if programs & (SHELLS | RUNNERS) and refused(body, cwd):
                return None
    return "\n".join(kept), open_texts


def readers(line):
    """The program that a heredoc in a line is for, and those that read on behind it."""
    found = set()
    try:
        commands = list(simple_commands(words_of(line)))
    except ValueError:
        return found
    for simple, is_piped in commands:
        if "<<" in simple or "<<-" in simple or (found and is_piped):
            found.add(program_of(simple)[0])
        elif found:
            break
    return found


def interprets(program):
    """Whether a program executes sentences that it is given, of whatever version it is."""
    return re.sub(r"[\d.]+$", "", program) in INTERPRETERS or program in INTERPRETERS


def refused(command, cwd="."):
    """Why a command line is refused; nothing when it may pass."""
    try:
        why = refused_lines(command, cwd)
    except RecursionError:
        why = "This cannot be read: too much stands in one another."
    return why + " " + ADVICE if why else None


def refused_lines(command, cwd):
    # A line goes on below, but a remark does not.
    joined = re.sub(r"(?m)^((?:(?!(?<![^\s;&|()])#).)*)\\\n", r"\1", command)
    taken = take_heredocs(joined, cwd)
    if taken is None:
        return "This would read .env."
    kept, open_texts = taken

    def names(part):
        return is_named(part, cwd)

    parts = [part for text in open_texts for part in parts_of(text, names, is_text=True)]
    for part in parts + parts_of(kept, names):
        try:
            words = words_of(part)
        except ValueError:
            # Quotes that do not match: what is named counts.
            if mentions(command):
                return "This would read .env."
            continue
        why = refused_words(words, cwd)
        if why:
            return why
    return None


def refused_words(words, cwd):
    named, told = None, False
    for simple, is_piped in simple_commands(words):
        why = refused_simple(simple, cwd)
        if why:
            return why
        program, arguments, _ = program_of(simple)
        if is_piped and named and takes_names(simple):
            return "This would read .env, by a name that it is given."
        if is_piped and told and program in SHELLS and all(w.startswith("-") for w in arguments):
            return "This would read .env, by a line that it is given."
        told = any(mentions(word) for word in simple)
        named = passed_on(simple, named if is_piped else None, cwd)
    return None


def is_named(part, cwd):
    """Whether what a command line prints would name such a file."""
    try:
        words = words_of(part)
    except ValueError:
        return mentions(part)
    named, found = None, False
    for simple, is_piped in simple_commands(words):
        if not is_piped:
            found = found or named is not None
        named = passed_on(simple, named if is_piped else None, cwd)
    return found or named is not None


def passed_on(words, named, cwd):
    """What a command prints of names of such files: `some` that it was told, `all` that there
    are, or nothing; `named` is what it reads of them."""
    program, arguments, _ = program_of(words)
    own = None
    if program == "find":
        own = selected(arguments, cwd)
    elif program in NAMING or (program == "git" and subcommand(arguments) == "ls-files"):
        given = [word for word in arguments if not any(c.isspace() for c in word)]
        own = "some" if any(mentions(word) or globs_to_secret(word, cwd) for word in given) else None
        hidden = {"-o"} if program == "git" else {"-a", "-A"}
        leaves_out = "--exclude-standard" in arguments
        if program in ("git", "ls") and short_options(arguments) & hidden and not leaves_out:
            is_deep = program == "git" or "-R" in short_options(arguments)
            own = own or ("all" if has_secret_below(arguments, cwd, is_deep) else None)
    if own or program == "wc":
        return own
    if named == "all" and program in SEARCHES and "-v" not in short_options(arguments):
        return "some" if any("env" in word.lower() for word in arguments) else None
    # What is left of all of them is mostly others.
    return named if named == "some" or program in ("sort", "uniq", "tr") else None


def takes_names(words):
    """Whether a command reads the files whose names it is given on its standard input."""
    program, arguments, before = program_of(words)
    if program in ("read", "mapfile", "readarray", "cpio"):
        return True
    is_behind = any(os.path.basename(word) in ("xargs", "parallel") for word in before)
    return is_behind and program != "" and not is_blind(program, arguments)


def is_blind(program, arguments):
    """Whether a program looks into none of the files that it is given."""
    if program == "git":
        options = [word for word in arguments if word.startswith("-") and word != "--"]
        if subcommand(arguments) == "log" and options and all(map(LOG_BLIND.match, options)):
            return True
        return not arguments or subcommand(arguments) in GIT_BLIND
    if program == "fd" and set(arguments) & {"-x", "-X", "--exec", "--exec-batch"}:
        return False
    return program in BLIND


def selected(arguments, cwd):
    """Whether `find` would find such files: `some` that it is told, `all` that there are, or
    nothing."""
    is_told, is_vague = False, False
    for i, word in enumerate(arguments[:-1]):
        if word == "-type" and arguments[i + 1] == "d":
            return None
        if word not in NAME_TESTS or arguments[i + 2 : i + 3] == ["-prune"]:
            continue
        fits = fits_secret(word, arguments[i + 1])
        if i and arguments[i - 1] in ("!", "-not"):
            if fits:
                return None
            continue
        is_told = True
        base = os.path.basename(arguments[i + 1])
        if fits and (mentions(base) or base.startswith((".", "["))):
            return "some"
        is_vague = is_vague or fits
    if is_told and not is_vague:
        return None
    return "all" if has_secret_below(arguments, cwd) else None


def fits_secret(test, pattern):
    """Whether a test of `find` is true for such a file."""
    pattern = pattern.lower()
    if test.endswith("regex"):
        try:
            return any(re.fullmatch(pattern, "./" + name) for name in NAMES)
        except re.error:
            return mentions(pattern)
    base = os.path.basename(pattern)
    if not test.endswith("path") and not test.endswith("wholename"):
        return any(fnmatch.fnmatch(name, pattern) for name in NAMES)
    return any(
        fnmatch.fnmatch("./" + name, pattern) or (base.startswith(".") and fnmatch.fnmatch(name, base))
        for name in NAMES
    )


def refused_simple(words, cwd):
    program, arguments, before = program_of(words)
    # The assignments before it are looked at as well.
    for word in words:
        if re.search(r"/proc/[^/\s]+/(environ\b|e[^/\s]*[*?\[])", word):
            return "This would print an environment."
    if prints_environment(program, arguments):
        return "This would print an environment."
    for word in before:
        # A file of names or arguments, as of xargs.
        if not ASSIGNMENT.match(word) and mentions(word):
            return "This would read .env."
    if program in SHELLS and "-c" in short_options(arguments):
        script = script_of(arguments)
        if script is not None:
            return inner(script, cwd)
    if program == "procura":
        return behind_procura(arguments, cwd)
    if is_blind(program, arguments) and (program == "git" or "<" not in words):
        return None
    if program == "find":
        executed = [arguments[i + 1 :] for i, word in enumerate(arguments) if word in EXECUTES]
        if not executed:
            return None
        reads = any(not is_blind(*program_of(behind)[:2]) for behind in executed)
        if reads and selected(arguments, cwd):
            return "This would read .env, by a name that it finds."
    for script in dict.fromkeys(scripts_in(program, arguments)):
        why = inner(script, cwd)
        if why:
            return why
    # Who is not known may be one who executes sentences.
    is_interpreter = (
        interprets(program) or runs_code(arguments) or program == OUTPUT or program.startswith("$")
    )
    for word in looked_at(program, arguments, words):
        if word.startswith(("--exclude", "--glob=!", "--ignore")):
            continue
        text = word.split("=", 1)[1] if re.match(r"^-{0,2}[\w-]+=", word) else word
        # A sentence that names it is no path, except for who executes sentences.
        is_text = any(c.isspace() for c in word) and not is_interpreter
        if not is_text and (mentions(word) or globs_to_secret(text, cwd)):
            return "This would read .env."
        if not word.startswith("-") and not is_text and leads_to_secret(text, cwd):
            return "This would read .env, by another name."
    if searches_all(program, arguments, cwd) and has_secret_below(arguments, cwd):
        return "This would search through .env too; leave it out with --exclude='.env*'."
    return None


def looked_at(program, arguments, words):
    """The words of a command without those that name no file to read: what a search looks
    for, what is left out, and where a copy goes."""
    operands = operands_of(arguments)
    names_none = [word for word in words if re.match(r"^:?![\w./*?\[\]{},-]+$", word)]
    names_none += [arguments[i + 1] for i, w in enumerate(arguments[:-1]) if w == "--exclude"]
    options = short_options(arguments)
    if program in SEARCHES or program == "jq":
        # What is behind `-g` names files, and may be before what is looked for.
        elsewhere = ("--reg", "--match", "--glob", "--iglob", "--file", "--from-file")
        is_elsewhere = options & {"-e", "-f", "-g"} or any(
            word.startswith(elsewhere) for word in arguments
        )
        names_none += [] if is_elsewhere else operands[:1]
    if program in WRITES_LAST and len(operands) > 1 and not options & {"-t"}:
        if not any(word.startswith("--target") for word in arguments):
            names_none += operands[-1:]
    rest = list(words)
    for word in names_none:
        # From the end, since what is before the program is looked at in any case.
        if word in rest:
            del rest[len(rest) - 1 - rest[::-1].index(word)]
    return rest


def operands_of(arguments):
    """The arguments that are no options; where input comes from is none of them."""
    found, is_over = [], False
    for i, word in enumerate(arguments):
        if "<" in word and set(word) <= set("<>&"):
            break
        if word == "--" and not is_over:
            is_over = True
        elif is_over or not word.startswith("-") or word == "-":
            found.append(word)
    return found


def scripts_in(program, arguments):
    """Lines for a shell that another program starts, as `docker exec x sh -c 'cat .env'`."""
    for i, word in enumerate(arguments):
        if program in RUNNERS and any(c.isspace() for c in word):
            yield re.sub(r"^[\w-]+=", "", word)
        if os.path.basename(word) in SHELLS and i + 1 < len(arguments):
            script = script_of(arguments[i + 1 :]) if arguments[i + 1].startswith("-") else None
            if script is not None:
                yield script


def runs_code(arguments):
    """Whether another program starts one that executes sentences, as `uv run python -c '…'`;
    what shells are given is looked at as lines."""
    return any(
        interprets(os.path.basename(word))
        and os.path.basename(word) not in SHELLS
        and re.match(r"^(-[A-Za-z]*[ceEpr]|--eval)$", behind)
        for word, behind in zip(arguments, arguments[1:])
    )


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
        # With a command behind it, that is the program.
        return True
    if program == "ps" and arguments and re.match(r"^[A-Za-z]*e[A-Za-z]*$", arguments[0]):
        # Without a dash it is the environment; `ps -e` is every process.
        return True
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


def searches_all(program, arguments, cwd):
    left_out = ("--exclude=.env", "--exclude=*.env", "--glob=!.env", "!.env")
    if any(word.startswith(left_out) for word in arguments):
        return False
    included = [word.split("=", 1)[1] for word in arguments if word.startswith("--include=")]
    if included and not any(fnmatch.fnmatch(name, one) for one in included for name in NAMES):
        return False
    paths = [os.path.join(cwd, os.path.expanduser(word)) for word in operands_of(arguments)[1:]]
    if paths and all(map(os.path.isfile, paths)):
        return False
    if program in ("grep", "egrep", "fgrep", "zgrep"):
        every = {"--recursive", "--dereference-recursive", "--directories=recurse", "recurse"}
        return bool(short_options(arguments) & {"-r", "-R"} or every & set(arguments))
    if program == "ag" and "-u" in short_options(arguments):
        return True
    if program in ("rg", "ag", "ack"):
        return bool({"--hidden", "--unrestricted", "-."} & set(arguments)) or any(
            re.match(r"^-u{2,}$", word) for word in arguments
        )
    return False


def has_secret_below(arguments, cwd, is_deep=True):
    folders = [w for w in arguments if os.path.isdir(os.path.join(cwd, os.path.expanduser(w)))]
    seen = 0
    for folder in folders or ["."]:
        for _, directories, files in os.walk(os.path.join(cwd, os.path.expanduser(folder))):
            skipped = (".git", "node_modules", "target")
            directories[:] = [name for name in directories if is_deep and name not in skipped]
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
