"""Shell text taken apart into the commands that it runs. Enough of the language for documentation, not all of it.

What it does not understand it does not guess: quoting that does not end raises ValueError.
"""

from __future__ import annotations

import re
import shlex

_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1(.*)\n(?:.*\n)*?\2$", re.MULTILINE)
_ASSIGNMENT = re.compile(r"\w+=.*", re.DOTALL)
_WORDS_BEFORE_COMMANDS = frozenset({"if", "then", "else", "while", "until", "do", "!", "exec", "time"})
_OPERATORS = "|&;()<>"


def commands(text: str) -> list[list[str]]:
    """The commands of a script as lists of words, those within ``$(...)`` included; without redirections.

    Assignments before a command stay its first words: ``["A=1", "make", "x"]``.

    Raises:
        ValueError: a quotation or a ``$(`` does not end.
    """
    text = _HEREDOC.sub(r"\3", text.replace("\\\n", " "))
    outer, inner = _substitutions(text)
    found = []
    for line in _lines(outer):
        found += _simple(line)
    for each in inner:
        found += commands(each)
    return found


def without_assignments(words: list[str]) -> list[str]:
    """A command without the variables that are set for it."""
    rest = list(words)
    while rest and _ASSIGNMENT.fullmatch(rest[0]):
        rest.pop(0)
    return rest


def _lines(text: str) -> list[str]:
    """Lines, of which one ends only when its quotations do."""
    found, open_line = [], ""
    for line in text.splitlines():
        open_line = f"{open_line}\n{line}" if open_line else line
        try:
            shlex.split(open_line, comments=True)
        except ValueError:
            continue
        found.append(open_line)
        open_line = ""
    if open_line:
        raise ValueError(f"a quotation does not end: {open_line}")
    return found


def _simple(line: str) -> list[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    target_follows = False
    for word in lexer:
        if word and not set(word) - set(_OPERATORS):
            target_follows = bool(set(word) & set("<>"))
            if target_follows:
                if found[-1] and found[-1][-1].isdigit():
                    found[-1].pop()
            else:
                found.append([])
        elif target_follows:
            target_follows = False
        elif found[-1] or word not in _WORDS_BEFORE_COMMANDS:
            found[-1].append(word)
    return [words for words in found if words]


def _substitutions(text: str) -> tuple[str, list[str]]:
    """The text with ``_`` for each ``$(...)`` outside single quotes, and what stood in these."""
    outer: list[str] = []
    inner: list[str] = []
    place, quoted, double = 0, False, False
    while place < len(text):
        char = text[place]
        if char == "'" and not double:
            quoted = not quoted
        elif char == '"' and not quoted:
            double = not double
        if text.startswith("$(", place) and not quoted:
            end = _end(text, place + 2)
            inner.append(text[place + 2 : end])
            outer.append("_")
            place = end + 1
            continue
        outer.append(char)
        place += 1
    return "".join(outer), inner


def _end(text: str, place: int) -> int:
    """Where the parenthesis that was opened before ``place`` is closed."""
    depth, quote = 1, ""
    for at in range(place, len(text)):
        char = text[at]
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        else:
            depth += (char == "(") - (char == ")")
            if not depth:
                return at
    raise ValueError(f"a substitution does not end: {text[place:]}")
