"""NAT on the way, from the NAT-D payloads of main mode (RFC 3947 section 3.2), and what follows.

The gateway's first hash is over the address at which it sees us, the others over its own. One that
does not fit means a NAT, unless the gateway hashes something else on purpose, to have ESP in UDP,
or because its socket is bound to no address (SoftEther hashes 0.0.0.0).
"""

from __future__ import annotations

from dataclasses import replace

from vpndiag.diagnosis.ruling import evidence, finding
from vpndiag.diagnosis.view import View
from vpndiag.observations import IkeMessage
from vpndiag.records import record
from vpndiag.report.model import Cause, Confidence, Finding

_SAME_NAT, _SAME_ROUTER = "same NAT", "same router"
"""Words of causes that need a NAT in front of the client."""


@record(frozen=True, slots=True)
class Nat:
    """``client``, ``gateway``: a NAT on that side; None: the gateway's hashes do not tell."""

    message: IkeMessage
    client: bool | None
    gateway: bool | None
    pretended: str = ""
    """What the gateway's hash is of, when it is not of an address that it can have."""


def seen(view: View) -> Nat | None:
    """From message 4; None: it has no NAT-D payloads, or there is none."""
    for m in view.ike:
        if m.step == "MM4" and m.direction == "in" and m.source_translated is not None:
            client, gateway = m.destination_translated, m.source_translated
            if not m.source_hashed:
                return Nat(m, client, gateway)
            # Of a gateway that hashes no address of its own, "you are behind NAT" proves nothing.
            return Nat(m, None if client else False, None, m.source_hashed)
    return None


def text(view: View) -> str:
    """For the rung; empty: nothing is known."""
    found = seen(view)
    if found is None:
        return ""
    if found.pretended:
        said = f"the gateway pretends NAT (it hashes {found.pretended})"
    elif found.client and found.gateway:
        said = "NAT on both sides"
    elif found.client:
        said = "NAT on the client's side"
    elif found.gateway:
        said = "NAT on the gateway's side"
    else:
        said = "no NAT"
    if view.local is not None and view.local.encapsulation_forced:
        said += ", UDP encapsulation forced"
    return said


def findings(view: View) -> list[Finding]:
    """A gateway behind NAT is served by every client but Windows, which has to be told."""
    here = seen(view)
    arrived = [
        m for m in view.ike if m.destination_translated and m.step == "MM3" and m.direction == "out"
    ]
    proven = [m for m in view.ike if m.source_hashed and m.step == "MM6" and m.direction == "in"]
    confidence: Confidence = "certain"
    if arrived:
        said = [evidence("message 3 is for another address than it arrives at", arrived[0])]
    elif here is not None and here.gateway and proven:
        address = proven[0].source_hashed.rpartition(":")[0]
        said = [evidence(f"the gateway's own address is {address}: it hashes that (NAT-D), and "
                         "names it as its identity", here.message, proven[0])]  # fmt: skip
    elif here is not None and here.gateway:
        confidence = "medium"
        said = [evidence("the address that the gateway has by its own hash (NAT-D) is not the one "
                         "that was asked", here.message)]  # fmt: skip
    else:
        return []
    detail = "The gateway is behind a NAT: Windows clients need a registry value to connect."
    if confidence == "medium":
        detail = (
            "The gateway is behind a NAT, or says so to have ESP in UDP: Windows clients then need "
            "a registry value to connect."
        )
    return [
        finding(
            "path.gateway-behind-nat", *said, detail=detail, severity="warning",
            confidence=confidence,
        )
    ]  # fmt: skip


def needs_neighbour(cause: Cause) -> bool:
    """Whether it needs several clients behind one NAT."""
    return _SAME_NAT in cause.text or _SAME_ROUTER in cause.text


def fitted(view: View, found: Finding) -> Finding:
    """``found``, complete with causes, and what NAT-D says about those that need several clients
    behind one NAT."""
    causes = found.causes
    shared = [c for c in causes if needs_neighbour(c)]
    if not shared:
        return found
    here = seen(view)
    if here is None or here.client is None:
        return found
    if here.client:
        said = evidence("this client is behind a NAT (NAT-D): the gateway sees all clients from "
                        "there at one address", here.message)  # fmt: skip
        return replace(found, evidence=(*found.evidence, said))
    others = tuple(c for c in causes if c not in shared)
    if not view.live or not others:
        return found
    return replace(found, causes=others)
