"""The catalogue: every finding's words, causes, remedies and owners, as data.

One TOML file a layer stands beside this module; ``clients.toml`` holds the texts that built-in
clients show. Nothing is read before the first question. Rules decide *which* finding it is; what
the finding means, why it happens and who does what stands here and nowhere else.
"""

from __future__ import annotations

import pkgutil
import re
import tomllib
from functools import cache, lru_cache
from typing import Any, cast

from vpndiag.records import record
from vpndiag.report.model import LADDER, Cause, Finding, Owner, Severity

OWNER_NAMES: dict[Owner, str] = {
    "user": "User",
    "helpdesk": "Helpdesk",
    "gateway-admin": "Gateway administrator",
    "network": "Network",
}
"""How an owner is called in text for people; ``network`` is the local network, firewall or ISP."""

CLIENT_NAMES = {
    "windows": "Windows",
    "macos": "macOS, iOS",
    "android": "Android",
    "linux": "Linux",
}


@record(frozen=True, slots=True)
class Step:
    """One thing to do now, and who does it."""

    who: Owner
    do: str

    def __str__(self) -> str:
        return f"{OWNER_NAMES[self.who]}: {self.do}"


@record(frozen=True, slots=True)
class Entry:
    """One finding of the catalogue.

    ``meaning`` is for everybody, ``technical`` is one sentence for the engineer; ``explanation`` is
    both. ``windows`` holds the error numbers that the built-in client shows, most usual first.
    """

    code: str
    layer: str
    severity: Severity
    title: str
    meaning: str
    technical: str
    owner: Owner
    causes: tuple[Cause, ...]
    now: tuple[Step, ...]
    clients_show: dict[str, str]
    windows: tuple[str, ...]
    references: tuple[str, ...]

    explanation: str
    fix: tuple[str, ...]
    """``now`` as text."""


class UnknownFinding(LookupError):
    """No finding of this code stands in the catalogue."""


@lru_cache(maxsize=512)
def _entry_of(code: str) -> Entry | None:
    # Nearly all are in the file that their name begins with: the others need not be read then.
    likely = code.partition(".")[0]
    for layer in sorted(LADDER, key=lambda each: each != likely):
        found = _entries(layer).get(code)
        if found is not None:
            return found
    return None


def entry(code: str) -> Entry:
    """The entry of ``code``. Raises :class:`UnknownFinding`."""
    found = _entry_of(code)
    if found is None:
        raise UnknownFinding(code)
    return found


def all_entries() -> tuple[Entry, ...]:
    """Every entry, in ladder order and within a layer in the order of its file."""
    return tuple(each for layer in LADDER for each in _entries(layer).values())


def complete(finding: Finding) -> Finding:
    """Fill in from the catalogue what the rule has left open; what it has set stays.

    A code that does not stand in the catalogue (a report of a later version) comes back as it is.
    """
    try:
        known = entry(finding.code)
    except UnknownFinding:
        return finding
    return Finding(
        code=finding.code,
        layer=finding.layer,
        severity=finding.severity,
        confidence=finding.confidence,
        title=finding.title or known.title,
        detail=finding.detail,
        explanation=finding.explanation or known.explanation,
        evidence=finding.evidence,
        causes=finding.causes or known.causes,
        fix=finding.fix or known.fix,
        owner=_owner(finding, known),
        clients_show=finding.clients_show or known.clients_show,
        references=finding.references or known.references,
    )


def _owner(finding: Finding, known: Entry) -> Owner:
    """ "gateway-admin" is the field's default: a rule that means it says so in its first cause."""
    meant = finding.causes and finding.causes[0].owner == "gateway-admin"
    return known.owner if finding.owner == "gateway-admin" and not meant else finding.owner


def messages_of(client: str) -> dict[str, str]:
    """What the built-in client shows, by its number (``809``) or name (``L2TP error 2``)."""
    return dict(_clients()[client])


def windows_error(number: str) -> str:
    """Microsoft's text for a Windows remote access error, or an empty string."""
    return cast(str, _clients()["windows"].get(number, ""))


@cache
def _entries(layer: str) -> dict[str, Entry]:
    try:
        found = _toml(layer)["finding"]
    except FileNotFoundError:
        return {}
    return {raw["code"]: _entry(raw, layer) for raw in found}


@cache
def _clients() -> dict[str, dict[str, Any]]:
    return _toml("clients")


def _toml(name: str) -> dict[str, Any]:
    # importlib.resources takes longer to import than most commands take to start.
    return tomllib.loads((pkgutil.get_data(__name__, f"{name}.toml") or b"").decode())


def _entry(raw: dict[str, Any], layer: str) -> Entry:
    now = tuple(Step(who=s["who"], do=s["do"]) for s in raw["now"])
    return Entry(
        code=raw["code"],
        layer=layer,
        severity=raw["severity"],
        title=raw["title"],
        meaning=raw["meaning"],
        technical=raw["technical"],
        owner=raw["owner"],
        causes=tuple(
            Cause(text=c["text"], owner=c["who"], fix=c["fix"], likelihood=c["p"])
            for c in raw["causes"]
        ),
        now=now,
        clients_show=_shown(raw.get("clients", {})),
        windows=_numbers(raw.get("clients", {}).get("windows", ())),
        references=tuple(raw["references"]),
        explanation=f"{raw['meaning']} Technically: {raw['technical']}",
        fix=tuple(str(step) for step in now),
    )


def _numbers(windows: str | list[str]) -> tuple[str, ...]:
    return tuple(re.findall(r"\b\d{3}\b", windows) if isinstance(windows, str) else windows)


def _shown(clients: dict[str, Any]) -> dict[str, str]:
    """Texts for people from error numbers (a list) or from free text (a string)."""
    shown: dict[str, str] = {}
    for client, value in clients.items():
        if isinstance(value, str):
            shown[client] = value
            continue
        texts = _clients().get(client, {})
        first, *others = value
        text = f"{_numbered(client, first)}: {texts[first]}" if first in texts else first
        if others:
            text += f" Or {', '.join(others)}."
        shown[client] = text
    return shown


def _numbered(client: str, key: str) -> str:
    return f"error {key}" if client == "windows" else key
