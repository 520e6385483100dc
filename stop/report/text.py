"""Makes hostile text fit to be read: nothing invisible, nothing endless.

Escaping is not done here: templates escape, and the script sets text, never markup.
"""

from __future__ import annotations

MAX_TEXT = 64 << 10
MAX_LINES = 3000
MAX_LINE = 1000


def readable(text: str, *, limit: int = MAX_TEXT) -> str:
    """Shows every control, format and bidi character of `text` by its number.

    Args:
        text: of a program or a model.
        limit: in characters; what is longer is cut, as are lines beyond `MAX_LINES` and lines
            longer than `MAX_LINE`, and the result says how much is missing.
    """
    text = text.removesuffix("\n")  # it ends the last line, and begins no other
    missing = len(text) - limit
    lines = text[:limit].replace("\r\n", "\n").split("\n")
    if len(lines) > MAX_LINES:
        missing = max(0, missing) + sum(len(line) + 1 for line in lines[MAX_LINES:])
        lines = lines[:MAX_LINES]
    shown = "\n".join(_line(line) for line in lines)
    if missing > 0:
        shown += f"\n⟨{missing:,} more characters are not in this report⟩"
    return shown


def one_line(text: str, limit: int = 300) -> str:
    """Does the same for a detail or a message, on one line: line breaks become marks."""
    shown = "".join(_visible(c) for c in text[:limit].replace("\n", "\N{SYMBOL FOR NEWLINE}"))
    return shown if len(text) <= limit else f"{shown} … ({len(text) - limit:,} more characters)"


def _line(line: str) -> str:
    missing = len(line) - MAX_LINE
    line = line[:MAX_LINE]
    if not line.isprintable():
        line = "".join(c if c == "\t" else _visible(c) for c in line)
    return line if missing <= 0 else f"{line} ⟨{missing:,} more characters⟩"


def _visible(character: str) -> str:
    return character if character.isprintable() else f"⟨U+{ord(character):04X}⟩"
