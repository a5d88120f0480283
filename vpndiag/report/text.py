"""Making text from a peer harmless before a person, a terminal or a document sees it."""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories shown as escapes: controls, format characters (bidi overrides, zero-width),
surrogates, private use, unassigned, line and paragraph separators."""

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}

_MAX_MARKS = 3
"""Combining marks allowed in a row; more only serve to smear over neighbouring lines."""


def visible(text: str | bytes, limit: int = 200) -> str:
    """One line of printable text that shows what ``text`` holds, cut to ``limit`` characters.

    Bytes are read as UTF-8, and what is not UTF-8 is shown as ``\\xNN``. Control characters, ANSI
    escapes, bidi and zero-width characters, surrogates and line separators become visible escapes.
    What is cut off is said: ``... (+1234)``. The result contains no character that moves a cursor,
    ends a line or changes direction; it may contain markup characters, which renderers escape.
    Applying it again changes nothing but, possibly, the length.
    """
    whole = len(text)
    if whole <= limit and text.isascii():
        plain = text if isinstance(text, str) else text.decode("ascii")
        if plain.isprintable():
            return plain
    cut = False
    if isinstance(text, bytes):
        cut = whole > 4 * limit
        # A character takes at most four bytes; one cut in half at the end is shown as bytes.
        text = text[: 4 * limit].decode("utf-8", "backslashreplace")
    out: list[str] = []
    marks = length = used = 0
    for char in text[:limit]:
        piece = _piece(char, marks)
        marks = marks + 1 if unicodedata.category(char).startswith("M") else 0
        if length + len(piece) > limit:
            break
        out.append(piece)
        length += len(piece)
        used += 1
    if cut or used < len(text):
        out.append(f"... (+{max(whole - used, 1)})")
    return "".join(out)


def _piece(char: str, marks: int) -> str:
    if char.isascii() and char.isprintable():
        return char
    if char in _SHORT:
        return _SHORT[char]
    category = unicodedata.category(char)
    if category in _HIDDEN or (category.startswith("M") and marks >= _MAX_MARKS):
        point = ord(char)
        if point < 0x100:
            return f"\\x{point:02x}"
        return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
    if category == "Zs":
        return " "
    return char
