"""Keys of a Python repr, without evaluating it: what stands inside quotes is never taken for structure.

Servers log their objects as `Name(rid='x', stop=["a"], out={'meta_info': {'id': 'x'}})`, and users choose many of the
strings in it. So strings are skipped whole, brackets are counted, and a key counts with the depth it stands at. One
pass, in time proportional to the length; possessive patterns keep the worst text from being read twice.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_MARK = re.compile(r"['\"()\[\]{}]")
_STRING = re.compile(r"'[^'\\]*+(?:\\.[^'\\]*+)*+'|\"[^\"\\]*+(?:\\.[^\"\\]*+)*+\"", re.DOTALL)
_NAME = re.compile(r"(\w{1,40})=\Z")
_NUMBER = re.compile(r"-?\d{1,18}(?:\.\d{1,20})?(?:e[-+]?\d{1,3})?(?=[,})\]])")
_LONGEST_NAME = 41
_MOST_MARKS = 100_000


class Key(NamedTuple):
    """A key of the repr: how many brackets it is in, its name, and where its value begins."""

    depth: int
    name: str
    at: int


def keys(text: str, start: int) -> Iterator[Key]:
    """The keys from `start` on, in order: of dicts all, of calls those whose value is a string or opens a bracket.

    Ends early where a string is cut off or the marks are too many: what comes behind cannot be told from its inside.
    """
    depth, place = 0, start
    for _ in range(_MOST_MARKS):
        found = _MARK.search(text, place)
        if found is None:
            return
        at, mark = found.start(), found[0]
        place = at + 1
        if mark in "'\"":
            string = _STRING.match(text, at)
            if string is None:
                return
            place = string.end()
            if text.startswith(": ", place):
                yield Key(depth, text[at + 1 : place - 1], place + 2)
                continue
        elif mark in ")]}":
            depth -= 1
            continue
        if text[at - 1 : at] == "=" and (name := _NAME.search(text, max(at - _LONGEST_NAME, 0), at)):
            yield Key(depth, name[1], at)
        depth += mark in "([{"


def string_at(text: str, at: int) -> str | None:
    """The inside of the string that begins here, its escapes as they are; None where none begins."""
    found = _STRING.match(text, at)
    return found[0][1:-1] if found else None


def strings_at(text: str, at: int, most: int) -> list[str]:
    """The string, or the strings of the list, that begin here."""
    if not text.startswith("[", at):
        one = string_at(text, at)
        return [] if one is None else [one]
    found: list[str] = []
    place = at + 1
    while len(found) < most and (string := _STRING.match(text, place)):
        found.append(string[0][1:-1])
        place = string.end() + 2
        if not text.startswith(", ", string.end()):
            break
    return found


def number_at(text: str, at: int) -> float | None:
    """The number that begins here; None where none does."""
    found = _NUMBER.match(text, at)
    return float(found[0]) if found else None
