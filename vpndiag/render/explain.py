"""``vpndiag explain``: what findings mean, for people with a code, a layer, an error number, or the
words that a client shows."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from vpndiag.catalogue import (
    CLIENT_NAMES,
    OWNER_NAMES,
    Entry,
    UnknownFinding,
    all_entries,
    entry,
    messages_of,
    windows_error,
)
from vpndiag.render.ladder import width_of
from vpndiag.render.symbols import speaks_unicode
from vpndiag.report.model import LADDER, LAYER_TITLES
from vpndiag.report.text import visible

_ENOUGH = 12
"""Letters of a client's words by which they are known."""
_SEVERITY_STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan"}


def explain(topic: str | None, console: Console, errors: Console | None = None) -> bool:
    """Print what is known of ``topic``: a finding's code, a layer, an error of Windows or macOS by
    its number or its words, or all.

    Returns False when nothing is known of it; the closest codes are printed then, on ``errors``
    where that is given.
    """
    errors = errors or console
    if topic is None:
        _print_list(console, all_entries(), "All findings, in the order of the layers")
        return True
    topic = topic.strip().lower()
    try:
        _print_entry(console, entry(topic))
        return True
    except UnknownFinding:
        pass
    if topic in LADDER:
        found = [e for e in all_entries() if e.layer == topic]
        if not found:
            console.print(Text(f"{LAYER_TITLES[topic]}: no findings yet"))
        else:
            _print_list(console, found, f"Findings of the layer {topic} ({LAYER_TITLES[topic]})")
        return True
    number = topic.removeprefix("windows").removeprefix("error").strip(" :-")
    if number.isascii() and number.isdecimal():
        return _explain_windows(console, number, errors)
    if _explain_words(console, topic.rstrip(". "), errors):
        return True
    _print_unknown(errors, topic)
    return False


def _explain_windows(console: Console, number: str, errors: Console) -> bool:
    shown = [e for e in all_entries() if number in e.windows]
    text = windows_error(number)
    if not shown:
        errors.print(Text(f"No finding is known to show as Windows error {visible(number, 20)}."))
        return False
    # Findings for which it is the usual error come before those where it is one of several.
    shown.sort(key=lambda e: e.windows.index(number))
    _print_list(console, shown, f"Windows error {number}: {text}")
    return True


def _explain_words(console: Console, topic: str, errors: Console) -> bool:
    """What macOS and iOS name, and what any client says (in lower case)."""
    known = False
    for client in ("windows", "macos"):
        for name, text in messages_of(client).items():
            said = len(topic) >= _ENOUGH and topic in text.lower()
            if not (said or topic == name.lower()):
                continue
            if client == "windows":
                shown = any(name in e.windows for e in all_entries())
                known |= shown and _explain_windows(console, name, errors)
            else:
                known |= _explain_macos(console, name, text)
    return known


def _explain_macos(console: Console, name: str, text: str) -> bool:
    pattern = re.compile(rf"{re.escape(name)}\b")
    shown: list[tuple[int, Entry]] = []
    for found in all_entries():
        place = pattern.search(found.clients_show.get("macos", ""))
        if place is not None:
            shown.append((place.start(), found))
    if shown:
        shown.sort(key=lambda pair: pair[0])
        _print_list(console, [e for _, e in shown], f"macOS, iOS: {text} ({name})")
    return bool(shown)


def _print_unknown(console: Console, topic: str) -> None:
    console.print(Text(f"No finding, layer or error is called {visible(topic, 60)}."))
    close = closest(topic)
    if close:
        console.print(Text("Did you mean:"))
        for code in close:
            console.print(Text(f"  {code}  {entry(code).title}"), soft_wrap=True)


def closest(topic: str, count: int = 4) -> list[str]:
    """Codes that resemble ``topic``, best first: parts of codes and words of titles count too."""
    entries = all_entries()
    words = topic[:100].replace("-", " ").replace(".", " ").split()
    by_word = [
        e.code
        for e in entries
        if words and all(word in f"{e.code} {e.title}".lower() for word in words)
    ]
    by_shape = difflib.get_close_matches(topic[:100], [e.code for e in entries], count, 0.5)
    by_tail = difflib.get_close_matches(
        topic[:100], [e.code.partition(".")[2] for e in entries], count, 0.6
    )
    tails = [e.code for tail in by_tail for e in entries if e.code.partition(".")[2] == tail]
    return list(dict.fromkeys([*by_word, *by_shape, *tails]))[:count]


def _print_list(console: Console, entries: Sequence[Entry], heading: str) -> None:
    console.print(Text(heading, style="bold"), width=width_of(console))
    console.print()
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for found in entries:
        table.add_row(
            Text(found.code, style=_SEVERITY_STYLES[found.severity].removeprefix("bold ")),
            Text(found.title),
        )
    console.print(Padding(table, (0, 0, 0, 2)), width=width_of(console))


def _print_entry(console: Console, found: Entry) -> None:
    arrow = "→" if speaks_unicode(console) else "->"
    width = width_of(console)

    def show(what: RenderableType, indent: int = 2) -> None:
        console.print(Padding(what, (0, 0, 0, indent)), width=width)

    head = Text(found.code, style="bold")
    head.append(f"  {found.severity}", style=_SEVERITY_STYLES[found.severity])
    head.append(f"  layer {found.layer} ({LAYER_TITLES[found.layer]})", style="dim")
    console.print(head, soft_wrap=True)
    console.print(Text(found.title, style="bold"), width=width)
    console.print()
    show(Text(found.meaning))
    show(Text(f"Technically: {found.technical}", style="dim"))
    _heading(console, "Causes, most likely first")
    rows = _grid()
    for number, cause in enumerate(found.causes, 1):
        text = Text(cause.text)
        text.append(f"  ({cause.likelihood}; {OWNER_NAMES[cause.owner].lower()})", style="dim")
        text.append(f"\n{arrow} ", style="dim")
        text.append(cause.fix)
        rows.add_row(f"{number}.", text)
    show(rows)
    _heading(console, "What to do now")
    rows = _grid()
    for number, step in enumerate(found.now, 1):
        text = Text(f"{OWNER_NAMES[step.who]}: ", style="bold")
        text.append(step.do, style="not bold")
        rows.add_row(f"{number}.", text)
    show(rows)
    if found.clients_show:
        _heading(console, "What the built-in clients show")
        rows = _grid()
        for client, shown in found.clients_show.items():
            rows.add_row(CLIENT_NAMES[client], Text(shown))
        show(rows)
    _heading(console, "References")
    show(Text(", ".join(found.references)))


def _heading(console: Console, title: str) -> None:
    console.print()
    console.print(Text(title, style="bold cyan"))


def _grid() -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    return table
