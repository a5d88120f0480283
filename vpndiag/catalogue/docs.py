"""Writes the catalogue as Markdown: ``python -m vpndiag.catalogue.docs [FILE]``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from vpndiag.catalogue import CLIENT_NAMES, OWNER_NAMES, Entry, all_entries
from vpndiag.report.model import LAYER_TITLES

_HEAD = """\
# Findings

Every finding that vpndiag can report, in the order of the layers. The same text is shown by
`vpndiag explain CODE`; `vpndiag explain 809` lists the findings that Windows shows as error 809.

This file is made from the catalogue (`vpndiag/catalogue/*.toml`) by
`python -m vpndiag.catalogue.docs`; change it there.
"""


def markdown() -> str:
    """The whole document."""
    parts = [_HEAD]
    for layer, entries in groupby(all_entries(), key=lambda found: found.layer):
        parts.append(f"\n## {layer}: {LAYER_TITLES[layer]}\n")
        for found in entries:
            parts.extend(_entry(found))
    return "\n".join(parts) + "\n"


def _entry(found: Entry) -> Iterator[str]:
    yield f"### {found.code}\n"
    yield f"**{_safe(found.title)}** ({found.severity}; {OWNER_NAMES[found.owner].lower()})\n"
    yield f"{_safe(found.meaning)}\n"
    yield f"*Technically:* {_safe(found.technical)}\n"
    yield "Causes, most likely first:\n"
    for number, cause in enumerate(found.causes, 1):
        who = OWNER_NAMES[cause.owner].lower()
        yield f"{number}. {_safe(cause.text)} ({cause.likelihood}; {who}). {_safe(cause.fix)}."
    yield "\nWhat to do now:\n"
    for number, step in enumerate(found.now, 1):
        yield f"{number}. {OWNER_NAMES[step.who]}: {_safe(step.do)}"
    if found.clients_show:
        yield "\nWhat built-in clients show:\n"
        for client, shown in found.clients_show.items():
            yield f"- {CLIENT_NAMES[client]}: {_safe(shown)}"
    yield f"\nReferences: {', '.join(found.references)}\n"


def _safe(text: str) -> str:
    """Markdown's own signs in catalogue text taken literally."""
    for sign in "\\*_<|":
        text = text.replace(sign, f"\\{sign}")
    return text


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/findings.md")
    target.write_text(markdown(), "utf-8")
