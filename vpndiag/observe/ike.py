"""IKE messages as observations."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import field
from functools import lru_cache
from hashlib import blake2s
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from vpndiag.observations import Direction, IkeMessage, IkeNotify, Lifetime
from vpndiag.observations.ike import MAX_LISTED, V2_FRAGMENT, Protection
from vpndiag.protocols.errors import ProtocolError
from vpndiag.protocols.ike.constants import (
    ExchangeType,
    NotifyType,
    ProtocolId,
    name_of,
)
from vpndiag.protocols.ike.keys import nat_d_hash
from vpndiag.protocols.ike.message import Header, Message, decode
from vpndiag.protocols.ike.payloads import (
    DeletePayload,
    IdPayload,
    KePayload,
    NatDPayload,
    NotificationPayload,
    Payload,
    SaPayload,
    VendorIdPayload,
)
from vpndiag.protocols.ike.transforms import EspTransform, IkeTransform
from vpndiag.protocols.ike.vendor_ids import fingerprint, identify
from vpndiag.records import record

Address = tuple[str, int]
_Kinds = dict[type[Payload], list[Any]]
"""Payloads by their class."""

MAX_SAS = 4096
"""IKE SAs remembered at a time; the oldest is forgotten beyond that."""
MAX_SEEN = 1024
"""Messages remembered for each SA to recognise repeats."""
_SMALL = 1024
"""Bytes of a message that is remembered as it is; of a larger one, a digest."""
HASH_ALONE = 28 + 4 + 64 + 16
"""Bytes at most of message 3 of quick mode: a hash of SHA-512, and padding of a cipher; an offer
has no room there (RFC 2409 section 5.5)."""
_NO_COOKIE = bytes(8)
# As plain numbers: members of an enumeration are slow to compare.
_MAIN, _AGGRESSIVE = int(ExchangeType.MAIN_MODE), int(ExchangeType.AGGRESSIVE_MODE)
_QUICK, _INFORMATIONAL = int(ExchangeType.QUICK_MODE), int(ExchangeType.INFORMATIONAL)
_TRANSACTION = int(ExchangeType.TRANSACTION)

_V2_EXCHANGES = {34: "SA_INIT", 35: "AUTH", 36: "CREATE_CHILD_SA", 37: "INFORMATIONAL"}


@record(slots=True)
class _Sa:
    hash: int = 0
    client_began: bool = True
    seen: OrderedDict[tuple[Direction, bytes], str] = field(default_factory=OrderedDict)
    """Messages of each direction: their steps."""
    quick: dict[int, Direction] = field(default_factory=dict)
    """Message ID of each quick mode: who began it."""
    own: tuple[bytes, ...] = ()
    """The responder's NAT-D hashes over itself, where they do not fit its address."""


class IkeObserver:
    """Observes the IKE messages of one client and gateway, in order."""

    def __init__(self, ports: Mapping[int, int] | None = None) -> None:
        """``ports``: the gateway's real ports and what they stand for, where it is not on 500 and
        4500 (labs, the demo)."""
        self._sas: OrderedDict[str, _Sa] = OrderedDict()
        self._ports = dict(ports or {})

    def begun(self, cookie: str, by_client: bool) -> None:
        """Who began an SA of which the first messages are missing."""
        self._sa(cookie, "out" if by_client else "in")

    def observe(
        self,
        data: bytes,
        *,
        t: float,
        direction: Direction,
        source: Address,
        destination: Address,
        marker: bool = False,
        frames: tuple[int, ...] = (),
        payloads: tuple[Payload, ...] | None = None,
        protection: Protection | None = None,
        other_source: str = "",
    ) -> IkeMessage:
        """One IKE message (``data`` without the non-ESP marker).

        ``payloads`` are those of an encrypted message that was decrypted, ``protection`` what that
        proved; without them an encrypted message is ``opaque``. Never raises on any ``data``.
        """
        gateway, client = (destination, source) if direction == "out" else (source, destination)
        try:
            message = decode(data)
        except ProtocolError as error:
            port = self._ports.get(gateway[1], gateway[1])
            return _malformed(
                data, str(error), t, frames, direction, port, client, marker, other_source
            )
        header = message.header
        cookie = header.initiator_cookie.hex()
        sa = self._sa(cookie, direction)
        clear = message.payloads if payloads is None else payloads
        if protection is None:
            protection = "opaque" if header.encrypted else "clear"
        what = direction, data if len(data) <= _SMALL else blake2s(data).digest()
        known = sa.seen.get(what)
        kinds = _by_kind(clear)
        step = known or self._step(sa, header, kinds, direction)
        if known is None:
            _remember(sa, what, step)
        details = _details(sa, message, clear, kinds, step, source, destination)
        return IkeMessage(
            t=t,
            frames=frames,
            direction=direction,
            port=self._ports.get(gateway[1], gateway[1]),
            client_port=client[1],
            marker=marker,
            version=header.major,
            exchange=header.exchange,
            step=step,
            message_id=header.message_id,
            initiator_cookie=cookie,
            responder_cookie=header.responder_cookie.hex(),
            initiated_by_client=sa.client_began
            if step[:2] != "QM"
            else sa.quick.get(header.message_id, direction) == "out",
            size=len(data),
            protection=protection,
            repeat=known is not None,
            other_source=other_source,
            **details,  # type: ignore[arg-type]
        )

    def _sa(self, cookie: str, direction: Direction) -> _Sa:
        sa = self._sas.get(cookie)
        if sa is None:
            sa = self._sas[cookie] = _Sa(client_began=direction == "out")
            if len(self._sas) > MAX_SAS:
                self._sas.popitem(last=False)
        return sa

    def _step(self, sa: _Sa, header: Header, kinds: _Kinds, direction: Direction) -> str:
        if header.major >= 2:
            return f"IKEv2 {_V2_EXCHANGES.get(header.exchange, header.exchange)}"
        exchange = header.exchange
        first = header.responder_cookie == _NO_COOKIE
        if first and not sa.seen:
            sa.client_began = direction == "out"
        phase_1 = exchange in (_MAIN, _AGGRESSIVE)
        if phase_1 and not first and not sa.seen and SaPayload in kinds:
            # The choice of a transform, whose offer is not in the material: from the responder.
            sa.client_began = direction == "in"
        from_initiator = (direction == "out") == sa.client_began
        if exchange == _MAIN:
            return _main_mode_step(header, kinds, from_initiator)
        if exchange == _AGGRESSIVE:
            if first:
                return "AM1"
            return "AM3" if from_initiator else "AM2"
        if exchange == _QUICK:
            began = sa.quick.get(header.message_id)
            if began is None:
                if len(sa.quick) < MAX_SEEN:
                    sa.quick[header.message_id] = direction
                alone = header.length <= HASH_ALONE and SaPayload not in kinds
                return "QM3" if alone else "QM1"
            if direction != began:
                return "QM2"
            return "QM1" if SaPayload in kinds else "QM3"
        return {_INFORMATIONAL: "INFO", _TRANSACTION: "CONFIG"}.get(exchange, "?")


def _by_kind(payloads: tuple[Payload, ...]) -> _Kinds:
    kinds: _Kinds = {}
    for p in payloads:
        kinds.setdefault(type(p), []).append(p)
    return kinds


def _main_mode_step(header: Header, kinds: _Kinds, from_initiator: bool) -> str:
    if header.encrypted:
        return "MM5" if from_initiator else "MM6"
    if SaPayload in kinds:
        return "MM1" if from_initiator else "MM2"
    if KePayload in kinds:
        return "MM3" if from_initiator else "MM4"
    return "?"


def _remember(sa: _Sa, what: tuple[Direction, bytes], step: str) -> None:
    sa.seen[what] = step
    if len(sa.seen) > MAX_SEEN:
        sa.seen.popitem(last=False)


def _details(
    sa: _Sa,
    message: Message,
    payloads: tuple[Payload, ...],
    kinds: _Kinds,
    step: str,
    source: Address,
    destination: Address,
) -> dict[str, object]:
    if message.is_ikev2:
        text = message.v2_text[:400]
        return {
            "payloads": (text, V2_FRAGMENT) if message.v2_fragment else (text,),
            "notifies": tuple(
                IkeNotify(type=n, name=f"IKEv2 notify {n}") for n in message.v2_notify_types[:8]
            ),
        }
    if not payloads:
        return {}
    found: dict[str, object] = {"payloads": tuple([p.label for p in payloads[:MAX_LISTED]])}
    sas: list[SaPayload] = kinds.get(SaPayload, [])
    if sas:
        found |= _offer(sa, sas[0], step)
    if VendorIdPayload in kinds:
        found |= _vendors(tuple([p.vendor_id for p in kinds[VendorIdPayload][:MAX_LISTED]]))
    notifies: list[NotificationPayload] = kinds.get(NotificationPayload, [])[:8]
    if notifies:
        found["notifies"] = tuple(
            IkeNotify(
                type=n.notify_type,
                name=name_of(NotifyType, n.notify_type),
                protocol=n.protocol,
                data=n.data[:64].hex(),
            )
            for n in notifies
        )
    deletes: list[DeletePayload] = kinds.get(DeletePayload, [])[:8]
    if deletes:
        found["deletes"] = tuple(_deleted(d, message.header) for d in deletes)
    identities: list[IdPayload] = kinds.get(IdPayload, [])
    if identities:
        found["identity"] = " -> ".join(i.text for i in identities[:2])
    nat_d: list[NatDPayload] = kinds.get(NatDPayload, [])
    if len(nat_d) >= 2:
        found |= _nat(sa, message.header, nat_d, source, destination, step)
    if step == "MM6" and sa.own:
        shown = [str(i.address) for i in identities if i.address is not None]
        ports = dict.fromkeys((500, 4500, source[1]))
        ends = [(address, port) for address in shown for port in ports]
        found["source_hashed"] = _hashed(sa, message.header, ends)
    return found


@lru_cache(maxsize=64)
def _vendors(vids: tuple[bytes, ...]) -> dict[str, object]:
    """Vendor IDs, and what they say. A gateway sends the same to everyone."""
    return {
        "vendor_ids": tuple(v[:64].hex() for v in vids),
        "vendors": tuple(identify(v) or v[:32].hex() for v in vids),
        "product": fingerprint(vids) or "",
    }


def _deleted(delete: DeletePayload, header: Header) -> str:
    if delete.protocol == ProtocolId.ISAKMP:
        own = header.initiator_cookie + header.responder_cookie
        if delete.spis and own not in delete.spis:
            # As SoftEther does when a half-open SA of the same client expires.
            return f"another IKE SA 0x{delete.spis[0].hex()}"
        return "ISAKMP"
    spis = ", ".join("0x" + spi.hex() for spi in delete.spis[:4])
    return f"{name_of(ProtocolId, delete.protocol)} {spis}"


def _offer(sa: _Sa, offer: SaPayload, step: str) -> dict[str, object]:
    phase1, phase2, said = _transforms(offer.body)
    if phase1 and step in ("MM2", "AM2"):
        sa.hash = phase1[0].hash
        return {**said, "weak": phase1[0].weak}
    return {**said, "weak": phase2[0].weak} if phase2 and step == "QM2" else said


@lru_cache(maxsize=64)
def _transforms(
    body: bytes,
) -> tuple[tuple[IkeTransform, ...], tuple[EspTransform, ...], dict[str, object]]:
    """Those of an SA payload for phase 1 and for ESP, and what they say. Clients offer the same
    again and again."""
    phase1: list[IkeTransform] = []
    phase2: list[EspTransform] = []
    for proposal in SaPayload.decode(body, 0).proposals:
        for transform in proposal.transforms:
            if proposal.protocol == ProtocolId.ISAKMP:
                phase1.append(IkeTransform.from_transform(transform))
            elif proposal.protocol == ProtocolId.ESP:
                phase2.append(EspTransform.from_transform(transform))
    return tuple(phase1), tuple(phase2), _said(phase1, phase2)


def _said(phase1: list[IkeTransform], phase2: list[EspTransform]) -> dict[str, object]:
    if not phase1 and not phase2:
        return {}
    first: IkeTransform | EspTransform = phase1[0] if phase1 else phase2[0]
    found: dict[str, object] = {
        "transforms": tuple(x.text for x in (phase1 or phase2)[:MAX_LISTED]),
        "lifetime": Lifetime(seconds=first.life_seconds, kilobytes=first.life_kb),
    }
    if phase1:
        found["auth_methods"] = tuple(dict.fromkeys(x.auth_method for x in phase1))
    else:
        found["pfs_group"] = phase2[0].pfs_group
        modes = dict.fromkeys(x.encapsulation_mode for x in phase2)
        found["encapsulation_modes"] = tuple(modes)
    return found


def _nat(
    sa: _Sa,
    header: Header,
    nat_d: list[NatDPayload],
    source: Address,
    destination: Address,
    step: str,
) -> dict[str, object]:
    """RFC 3947 section 3.2: the first hash is over the destination, the others over sources."""
    try:
        to_hash, from_hash = _hash(sa, header, destination), _hash(sa, header, source)
    except (ProtocolError, ValueError):
        return {}
    translated = from_hash not in [p.hash for p in nat_d[1:]]
    found: dict[str, object] = {
        "destination_translated": nat_d[0].hash != to_hash,
        "source_translated": translated,
    }
    if step == "MM4":
        sa.own = tuple([p.hash for p in nat_d[1:MAX_LISTED]]) if translated else ()
        ends = *_nowhere(source[1]), (source[0], 0)
        found["source_hashed"] = _hashed(sa, header, ends)
    return found


@lru_cache(maxsize=64)
def _nowhere(port: int) -> tuple[Address, ...]:
    """Ends that no packet can have, which a gateway hashes that wants NAT to be seen."""
    ports = dict.fromkeys((0, 500, 4500, port))
    return tuple((host, each) for host in ("0.0.0.0", "::") for each in ports)


def _hashed(sa: _Sa, header: Header, ends: Iterable[Address]) -> str:
    """Which of these ends the responder hashed as its own; empty: none."""
    if not sa.own:
        return ""
    for end in ends:
        try:
            if _hash(sa, header, end) in sa.own:
                return f"{end[0]}:{end[1]}"
        except (ProtocolError, ValueError):
            return ""
    return ""


def _hash(sa: _Sa, header: Header, end: Address) -> bytes:
    """:raises ValueError: not an IP address. :raises ProtocolError: not a hash that is known."""
    cookies = header.initiator_cookie, header.responder_cookie
    return nat_d_hash(sa.hash, *cookies, _ip(end[0]), end[1])


@lru_cache(maxsize=1024)
def _ip(address: str) -> IPv4Address | IPv6Address:
    return ip_address(address.partition("%")[0])


def _malformed(
    data: bytes,
    why: str,
    t: float,
    frames: tuple[int, ...],
    direction: Direction,
    port: int,
    client: Address,
    marker: bool,
    other_source: str,
) -> IkeMessage:
    head = data[:28].ljust(28, b"\0")
    return IkeMessage(
        t=t,
        frames=frames,
        direction=direction,
        port=port,
        client_port=client[1],
        marker=marker,
        version=head[17] >> 4,
        exchange=head[18],
        step="?",
        message_id=int.from_bytes(head[20:24], "big"),
        initiator_cookie=head[:8].hex(),
        responder_cookie=head[8:16].hex(),
        size=len(data),
        protection="clear",
        payloads=(f"malformed: {why}",),
        other_source=other_source,
    )
