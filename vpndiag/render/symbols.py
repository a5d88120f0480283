"""Marks and colours of statuses, and what to fall back to."""

from __future__ import annotations

from rich.console import Console

from vpndiag.report.model import Status

_UNICODE: dict[Status | str, str] = {
    "passed": "✓",
    "warning": "!",
    "failed": "✗",
    "inconclusive": "?",
    "not_reached": "·",
    "running": "…",
}
_WORDS: dict[Status | str, str] = {
    "passed": "ok",
    "warning": "WARN",
    "failed": "FAIL",
    "inconclusive": "?",
    "not_reached": "-",
    "running": "...",
}
STYLES: dict[Status | str, str] = {
    "passed": "green",
    "warning": "yellow",
    "failed": "bold red",
    "inconclusive": "yellow",
    "not_reached": "dim",
    "running": "cyan",
}


def speaks_unicode(console: Console) -> bool:
    """Whether the console's encoding has the marks, the box and the arrows used."""
    try:
        "✓✗·…→╭╮╰╯─│".encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def mark(console: Console, status: Status | str) -> str:
    """One character on a terminal that has it, else a word that can be searched for."""
    if console.is_terminal and speaks_unicode(console):
        return _UNICODE[status]
    return f"{_WORDS[status]:<4}"
