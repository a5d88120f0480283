"""One IKE SA from two addresses: messages 1 to 4 come from one, message 5 from another.

A router with two lines, or a NAT with several addresses, may send UDP 4500 another way than UDP
500. Seen near the gateway, these are two clients with one IKE cookie. Some gateways follow the
client there (RFC 3947 section 4), others drop message 5 without a word.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from vpndiag.report.model import Cause, Finding


class Half(Protocol):
    """An attempt. ``begins``, ``ends``: the cookie of a main mode that it only begins, or ends."""

    @property
    def client(self) -> str: ...
    @property
    def gateway(self) -> str: ...
    @property
    def begins(self) -> str: ...
    @property
    def ends(self) -> str: ...


def halves(attempts: Iterable[Half]) -> dict[int, int]:
    """By index of an attempt that ends a main mode, the one that begins it; attempts in order."""
    begun: dict[tuple[str, str], tuple[int, str]] = {}
    found: dict[int, int] = {}
    for i, a in enumerate(attempts):
        if a.begins:
            begun.setdefault((a.gateway, a.begins), (i, a.client))
        other = begun.get((a.gateway, a.ends)) if a.ends else None
        if other is not None and other[1] != a.client:
            found[i] = other[0]
    return found


CODES = ("auth.unanswered", "auth.psk-mismatch")
"""What the silence to such a message 5 looks like."""
DETAIL = (
    "Message 5 comes from another address than the messages before it, and is not answered: the "
    "gateway sees one client at two addresses."
)
TEXT = "the same IKE SA (cookie {}) was begun from {}"
CAUSES = (
    Cause("The client's router has two lines, or its provider several addresses, and sends UDP 500 "
          "and UDP 4500 different ways: to the gateway message 5 comes from a stranger", "network",
          "Send all UDP of one client to the gateway over one line; ask the provider for a fixed "
          "address per customer (RFC 4787 calls it paired)", "likely"),
    Cause("The gateway follows the client, and the pre-shared key differs", "helpdesk",
          "Enter the key again on both sides", "possible"),
)  # fmt: skip

_NOW = (
    "Network: See which lines and addresses the client's packets to UDP 500 and UDP 4500 leave by, "
    "and make it one.",
    "User: Try over one line only, for example a phone's hotspot.",
)


def explained(found: Finding) -> Finding:
    """The finding on a message 5 that is not answered, in these words."""
    return replace(
        found,
        detail=DETAIL,
        causes=CAUSES,
        fix=_NOW,
        owner=CAUSES[0].owner,
        confidence="medium",
    )
