"""NAT traversal in IKE: which dialect, what the NAT-D payloads say (RFC 3947, drafts 00 to 03)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.ike import vendor_ids
from vpndiag.protocols.ike.algorithms import EncapsulationMode
from vpndiag.protocols.ike.keys import nat_d_hash
from vpndiag.protocols.ike.payloads import NatDPayload
from vpndiag.protocols.ike.payloads.identity import IPAddress
from vpndiag.records import record

Address = tuple[str, int]
"""IP address as text and UDP port."""

VID_RFC3947 = vendor_ids.RFC3947
VID_DRAFT_03 = vendor_ids.NATT_DRAFT_03
VID_DRAFT_02 = vendor_ids.NATT_DRAFT_02
VID_DRAFT_02_NEWLINE = vendor_ids.NATT_DRAFT_02_NEWLINE
VID_DRAFT_00 = vendor_ids.NATT_DRAFT_00


@record(frozen=True, slots=True)
class NatDialect:
    """One published version of NAT traversal.

    ``draft`` selects the private payload numbers 130/131 and encapsulation modes 61443/61444.
    ``floats`` tells whether IKE moves to UDP 4500; draft 00 stays on port 500.
    """

    name: str
    vendor_id: bytes
    draft: bool
    floats: bool = True

    @property
    def transport_mode(self) -> EncapsulationMode:
        """UDP-Encapsulated-Transport in this dialect's number."""
        if self.draft:
            return EncapsulationMode.UDP_TRANSPORT_DRAFT
        return EncapsulationMode.UDP_TRANSPORT


DIALECTS = (
    NatDialect("RFC 3947", VID_RFC3947, draft=False),
    NatDialect("draft-ietf-ipsec-nat-t-ike-03", VID_DRAFT_03, draft=True),
    NatDialect("draft-ietf-ipsec-nat-t-ike-02\\n", VID_DRAFT_02_NEWLINE, draft=True),
    NatDialect("draft-ietf-ipsec-nat-t-ike-02", VID_DRAFT_02, draft=True),
    NatDialect("draft-ietf-ipsec-nat-t-ike-00", VID_DRAFT_00, draft=True, floats=False),
)
"""Best first."""


def choose_dialect(ours: Iterable[bytes], theirs: Iterable[bytes]) -> NatDialect | None:
    """The best dialect whose vendor id both sides sent."""
    common = set(ours) & set(theirs)
    return next((dialect for dialect in DIALECTS if dialect.vendor_id in common), None)


@record(frozen=True, slots=True)
class NatState:
    """What NAT-D told. ``forced``: our own source hash was falsified to provoke encapsulation."""

    dialect: NatDialect
    local_behind_nat: bool
    remote_behind_nat: bool
    forced: bool = False

    @property
    def encapsulate(self) -> bool:
        """Whether ESP goes into UDP and, with a dialect that floats, IKE to port 4500."""
        return self.local_behind_nat or self.remote_behind_nat or self.forced


def ip_address(host: str) -> IPAddress:
    """:raises LocalProtocolError: not an IP address."""
    try:
        # A scope id ("fe80::1%eth0") is local knowledge and not part of the address.
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        raise LocalProtocolError(f"not an IP address: {host}") from None


def _hash(hash_id: int, cookies: tuple[bytes, bytes], address: Address) -> bytes:
    return nat_d_hash(hash_id, *cookies, ip_address(address[0]), address[1])


def make_nat_d(
    hash_id: int,
    cookies: tuple[bytes, bytes],
    *,
    local: Address,
    remote: Address,
    dialect: NatDialect,
    force: bool,
) -> tuple[NatDPayload, NatDPayload]:
    """Destination first, then source. ``force`` hashes a source that no packet can have."""
    source = ("0.0.0.0", 0) if force else local
    return (
        NatDPayload(_hash(hash_id, cookies, remote), dialect.draft),
        NatDPayload(_hash(hash_id, cookies, source), dialect.draft),
    )


def judge_nat_d(
    hash_id: int,
    cookies: tuple[bytes, bytes],
    received: Sequence[NatDPayload],
    *,
    local: Address,
    remote: Address,
    dialect: NatDialect,
    force: bool,
) -> NatState | None:
    """Compare the peer's NAT-D payloads with what we see; None when there are fewer than two.

    The first is about us, any of the others may be about the peer, which lists one per interface
    when it does not know the one it uses.
    """
    if len(received) < 2:
        return None
    ours = _hash(hash_id, cookies, local)
    theirs = _hash(hash_id, cookies, remote)
    return NatState(
        dialect,
        local_behind_nat=received[0].hash != ours,
        remote_behind_nat=all(payload.hash != theirs for payload in received[1:]),
        forced=force,
    )
