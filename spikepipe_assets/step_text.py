"""Cut the text of ``--<step>_args`` into flags and their values.

Quotes group words, as in a shell. JSON objects and lists need none: they are read to their end, which also keeps the
quotes inside them that a shell's rules would take away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["GivenFlag", "given_flags"]

_FLAG = re.compile(r"--([^\s=]+)")
_QUOTED = re.compile(r"'([^']*)'|\"((?:[^\"\\]|\\.)*)\"")
_WORD = re.compile(r"\S+")

_STRAY = "belongs to no flag: flags begin with --, and a value with spaces needs quotes"
_KEEP_QUOTES = "keep its double quotes from the shell, with single quotes around the whole argument"


@dataclass(frozen=True)
class GivenFlag:
    """A flag as it was typed.

    Attributes
    ----------
    name : str
        Without the leading hyphens, otherwise as typed.
    value : str or None
        The text after it; None for a switch.
    problem : str or None
        Why it cannot be read: text that belongs to no flag, quotes that do not close, broken JSON.
    """

    name: str
    value: str | None
    problem: str | None = None

    @property
    def key(self) -> str:
        """The name as keys are written: with underscores."""
        return self.name.replace("-", "_")


def given_flags(text: str) -> Iterator[GivenFlag]:
    """Yield the flags of a step's text, in order; what cannot be read has a `problem`, and reading goes on."""
    position = _skip_space(text, 0)
    previous = ""
    while position < len(text):
        flag = _FLAG.match(text, position)
        if flag is None:
            stray, position = _word(text, position)
            yield GivenFlag(previous, stray, _STRAY)
        else:
            previous = flag.group(1)
            value, position, problem = _value_after(text, flag.end())
            yield GivenFlag(previous, value, problem)
        position = _skip_space(text, position)


def _value_after(text: str, position: int) -> tuple[str | None, int, str | None]:
    """Return the value after a flag, where it ends, and why it cannot be read."""
    if text.startswith("=", position):
        return _value(text, position + 1)
    start = _skip_space(text, position)
    if start == len(text) or text.startswith("--", start):
        return None, position, None
    return _value(text, start)


def _value(text: str, position: int) -> tuple[str, int, str | None]:
    if text[position : position + 1] in ("{", "["):
        return _json_value(text, position)
    if text[position : position + 1] in ("'", '"'):
        quoted = _QUOTED.match(text, position)
        if quoted is None:
            return text[position:], len(text), "the quote is not closed"
        plain, escaped = quoted.groups()
        return plain if plain is not None else re.sub(r"\\(.)", r"\1", escaped), quoted.end(), None
    return *_word(text, position), None


def _word(text: str, position: int) -> tuple[str, int]:
    word = _WORD.match(text, position)
    return (word.group(), word.end()) if word else ("", position)


def _json_value(text: str, position: int) -> tuple[str, int, str | None]:
    try:
        _, end = json.JSONDecoder().raw_decode(text, position)
    except ValueError as error:
        next_flag = text.find(" --", position)
        end = len(text) if next_flag < 0 else next_flag
        value = text[position:end]
        return value, end, f"begins like JSON and is none ({getattr(error, 'msg', error)}); {_KEEP_QUOTES}"
    return text[position:end], end, None


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position
