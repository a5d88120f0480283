"""The report model. Plain dataclasses: the JSON schema and reading back are in ``schema.py``.

Names in the JSON are those of the fields here; scripts rely on them (docs/report.md).
"""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from vpndiag.records import record

SCHEMA_VERSION = "1.3.0"
"""Semver: minor adds fields, major changes or removes them."""

LADDER = (
    "name", "path", "ike", "auth", "ipsec", "esp", "l2tp", "lcp", "login",
    "address", "routes", "mtu", "dns", "app",
)  # fmt: skip
"""Layer ids, in the order in which they are tried and judged."""

LAYER_TITLES = {
    "name": "server name",
    "path": "UDP 500, 4500",
    "ike": "IKE proposal",
    "auth": "IKE authentication",
    "ipsec": "IPsec SA (quick mode)",
    "esp": "ESP data",
    "l2tp": "L2TP tunnel, session",
    "lcp": "PPP link (LCP)",
    "login": "user login",
    "address": "address (IPCP)",
    "routes": "routing",
    "mtu": "MTU",
    "dns": "internal DNS",
    "app": "application",
}

Status = Literal["passed", "warning", "failed", "inconclusive", "not_reached"]
Severity = Literal["error", "warning", "info"]
Confidence = Literal["certain", "high", "medium", "low"]
Outcome = Literal["healthy", "failed", "inconclusive", "not_applicable"]
Owner = Literal["user", "helpdesk", "gateway-admin", "network"]


@record(frozen=True, slots=True)
class Evidence:
    """One thing seen: a sentence, when (seconds), and the packets that show it."""

    text: str
    t: float | None = None
    frames: tuple[int, ...] = ()


@record(frozen=True, slots=True)
class Cause:
    """A possible cause, in order of likelihood within its finding."""

    text: str
    owner: Owner
    fix: str = ""
    likelihood: Literal["likely", "possible", "unlikely"] = "possible"


@record(frozen=True, slots=True)
class Finding:
    """A judgement. ``code`` is ``layer.short-name`` and stands in the catalogue, from which title,
    explanation, causes, fix and owner come."""

    code: str
    layer: str
    severity: Severity
    confidence: Confidence
    title: str = ""
    detail: str = ""
    """What this very case shows, in one or two sentences."""
    explanation: str = ""
    evidence: tuple[Evidence, ...] = ()
    causes: tuple[Cause, ...] = ()
    fix: tuple[str, ...] = ()
    owner: Owner = "gateway-admin"
    clients_show: dict[str, str] = field(default_factory=dict)
    """What built-in clients show for this: ``{"windows": "789", "macos": "..."}``."""
    references: tuple[str, ...] = ()
    """Where the protocol is laid down: ``RFC 2409 section 5.4``."""


@record(frozen=True, slots=True)
class Layer:
    """One rung. ``summary`` says what was found, ``reason`` why it was not reached."""

    id: str
    status: Status
    summary: str = ""
    reason: str = ""
    started: float | None = None
    ended: float | None = None
    facts: dict[str, str] = field(default_factory=dict)


@record(frozen=True, slots=True)
class Verdict:
    """The answer in one line."""

    outcome: Outcome
    headline: str
    layer: str | None = None
    finding: str | None = None
    confidence: Confidence = "high"


@record(frozen=True, slots=True)
class Diagnosis:
    """What the rules say of one session's observations."""

    verdict: Verdict
    layers: tuple[Layer, ...]
    findings: tuple[Finding, ...]
