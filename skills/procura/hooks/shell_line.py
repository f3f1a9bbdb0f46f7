"""Takes a line of a shell apart: what it substitutes, its simple commands, and the program
of each. It is no shell: what it cannot tell is left for who decides."""

import os
import re
import shlex

# What stands for the output of a command that nobody runs here.
OUTPUT = "_"

SEPARATORS = {";", "&", "&&", "|", "||", "|&", "(", ")", "\n", ";;", "$(", "`"}
ASSIGNMENT = re.compile(r"^[A-Za-z_]\w*\+?=")
HEREDOC = re.compile(r"(?<!<)<<(?!<)-?\s*(['\"\\]?)([A-Za-z_]\w*)\1?")

# Words before a program that are not it, and have no options.
KEYWORDS = {"then", "do", "else", "elif", "if", "while", "until", "!", "{", "builtin", "$"}

# Programs that run the one behind them: their options that take the next word, and how many
# words of their own come before it.
WRAPPERS = {
    "sudo": ("-C -D -R -T -U -g -h -p -r -t -u --user --group --host --prompt --chdir --chroot", 0),
    "doas": ("-C -u", 0),
    "runuser": ("-u -g -G --user --group", 0),
    "timeout": ("-k -s --kill-after --signal", 1),
    "nice": ("-n --adjustment", 0),
    "ionice": ("-c -n -p --class --classdata", 0),
    "chrt": ("-D -P -T", 1),
    "taskset": ("", 1),
    "stdbuf": ("-e -i -o --error --input --output", 0),
    "nohup": ("", 0),
    "setsid": ("", 0),
    "setpriv": ("", 0),
    "unshare": ("", 0),
    "chroot": ("", 1),
    "flock": ("-E -w --timeout --conflict-exit-code", 1),
    "time": ("-f -o --format --output", 0),
    "command": ("", 0),
    "exec": ("-a", 0),
    "busybox": ("", 0),
    "strace": ("-E -O -P -S -a -b -e -o -p -s -u", 0),
    "env": ("-C -S -u --chdir --split-string --unset", 0),
    "xargs": (
        "-E -I -L -P -a -d -n -s --arg-file --delimiter --max-args --max-chars --max-lines "
        "--max-procs --process-slot-var --replace-str",
        0,
    ),
    "parallel": ("-I -a -d -j -n --arg-file --jobs --max-args --joblog --colsep", 0),
}


def parts_of(text, names=lambda part: False, is_text=False):
    """What a line substitutes, the innermost first, and at last the line itself. In each of
    them `OUTPUT` stands for what a substitution gives, or `.env` where that names it. In a
    `text` of a heredoc quotes are letters like others."""
    found = []
    line, _ = scan(text, 0, False, is_text, found, names)
    return found + ([] if is_text else [line])


def scan(text, i, is_inner, is_text, found, names):
    """Reads on from a place to the end, or to the bracket that ends a substitution; what it
    read, and where that ended."""
    out, double, brackets, braces = [], False, 0, 0

    def stands_for(inner):
        found.append(inner)
        out.append(".env" if names(inner) else OUTPUT)

    while i < len(text):
        letter, two = text[i], text[i : i + 2]
        if letter == "\\":
            # A line that goes on below is one line.
            out.append("" if two == "\\\n" else two)
            i += 2
        elif two == "$(" or (two in ("<(", ">(") and not double and not is_text):
            inner, i = scan(text, i + 2, True, False, found, names)
            stands_for(inner)
        elif letter == "`":
            end = end_of(text, i + 1, "`")
            escaped = r'\\([`\\$"])' if double else r"\\([`\\$])"
            inner = re.sub(escaped, r"\1", text[i + 1 : end])
            stands_for(scan(inner, 0, False, False, found, names)[0])
            i = end + 1
        elif is_text:
            out.append(letter)
            i += 1
        elif letter == "'" and not double:
            is_ansi = i > 0 and text[i - 1] == "$"
            end = end_of(text, i + 1, "'") if is_ansi else text.find("'", i + 1)
            end = len(text) if end < 0 else end
            if is_ansi and end < len(text):
                out[-1] = ""
                out.append(shlex.quote(unescaped(text[i + 1 : end])))
            else:
                out.append(text[i : end + 1])
            i = end + 1
        elif letter == "#" and not (double or braces) and begins_word(text, i):
            # A remark, in which an apostrophe is no quote.
            end = text.find("\n", i)
            i = len(text) if end < 0 else end
        else:
            if letter == '"':
                double = not double
            elif two == "${":
                braces += 1
            elif letter == "}":
                braces = max(braces - 1, 0)
            elif letter == "(" and not double:
                brackets += 1
            elif letter == ")" and not double:
                if is_inner and brackets == 0:
                    return "".join(out), i + 1
                brackets -= 1
            out.append(letter)
            i += 1
    return "".join(out), i


def end_of(text, i, sign):
    """Where the next such sign is that no backslash is before; else the end."""
    while i < len(text) and text[i] != sign:
        i += 2 if text[i] == "\\" else 1
    return min(i, len(text))


def begins_word(text, i):
    return i == 0 or text[i - 1] in " \t\n;&|()"


def unescaped(text):
    """What stands in `$'…'`."""
    try:
        return text.encode("latin-1", "backslashreplace").decode("unicode_escape")
    except UnicodeDecodeError:
        return text


def words_of(command):
    """The words of a command line, with what separates commands among them."""
    lexer = shlex.shlex(command.replace("\n", " ; "), posix=True, punctuation_chars="();<>|&`")
    lexer.whitespace_split = True
    lexer.commenters = ""
    return list(lexer)


def simple_commands(words):
    """The simple commands of a line, without where their output goes, each with whether it
    reads what the one before it prints."""
    current, between, after_output = [], [], False
    for word in words:
        if after_output:
            after_output = False
            continue
        if word in SEPARATORS or set(word) <= set("();&|`"):
            if current:
                yield current, is_pipe(between)
                current, between = [], []
            between.append(word)
        elif set(word) <= set("<>&|") and ">" in word and "<" not in word:
            # What is written is not read.
            after_output = True
            # The number of a descriptor is no argument.
            if current and current[-1].isdigit():
                current.pop()
        else:
            current.append(word)
    if current:
        yield current, is_pipe(between)


def is_pipe(between):
    return "".join(between).strip("()`") in ("|", "|&")


def program_of(words):
    """The program of a simple command, its arguments, and the words before it."""
    rest, before = list(words), []
    while rest:
        name = os.path.basename(rest[0])
        if ASSIGNMENT.match(rest[0]) or rest[0] in KEYWORDS:
            before.append(rest.pop(0))
        elif name in WRAPPERS:
            skipped, behind = behind_wrapper(name, rest[1:])
            if name == "command" and set(skipped) & {"-v", "-V"}:
                # It says where the program is.
                return "which", behind, before + skipped
            if name == "env" and not behind:
                return "env", skipped, before
            before += rest[:1] + skipped
            rest = behind
        else:
            return name, rest[1:], before
    return "", [], before


def behind_wrapper(name, words):
    """The options and words of a program that runs another one, and what is behind them."""
    options, count = WRAPPERS[name]
    takes, words, skipped = set(options.split()), list(words), []
    while words:
        word = words[0]
        if word == "--":
            skipped.append(words.pop(0))
            break
        # What `env` is given by a substitution is variables, as a rule.
        is_variable = ASSIGNMENT.match(word) or (name == "env" and word == OUTPUT)
        if not is_variable and (not word.startswith("-") or word == "-" and name != "env"):
            break
        skipped.append(words.pop(0))
        option, value = (word, None) if word.startswith("--") else value_in(word, takes)
        if option in takes and value is None and words:
            value = words.pop(0)
            skipped.append(value)
        if name == "env" and option in ("-S", "--split-string") and value:
            words = split(value) + words
        elif name == "env" and word.startswith("--split-string="):
            words = split(word.split("=", 1)[1]) + words
    return skipped + words[:count], words[count:]


def split(text):
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def value_in(word, takes):
    """The option of a group of letters that takes a value, and the value that is in it."""
    for i, letter in enumerate(word[1:], 1):
        if "-" + letter in takes:
            return "-" + letter, word[i + 1 :] or None
    return word, None
