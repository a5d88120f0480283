"""What the headers of one IKE SA's messages tell, without decoding them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from vpndiag.capture.material import FlowTrack, IkeTrack
from vpndiag.capture.packets import End
from vpndiag.capture.ports import NO_COOKIE
from vpndiag.observe.ike import HASH_ALONE
from vpndiag.protocols.errors import ProtocolError
from vpndiag.protocols.ike.message import decode
from vpndiag.protocols.ike.payloads import VendorIdPayload
from vpndiag.records import record

_MAIN, _AGGRESSIVE, INFORMATIONAL, _TRANSACTION, _QUICK = 2, 4, 5, 6, 32
_NOTIFICATION = 11
_REFUSES_MESSAGE_1 = (5, 7, 14, 15, 29)
"""Notifications with which a responder answers an offer (RFC 2408 section 3.14.1)."""
_ALIVE_NS = 2_000_000_000
_KNOWS_NOT = (4, 11)
"""INVALID-COOKIE and INVALID-SPI, of a gateway that was started anew."""
_SA_INIT, _AUTH, _CHILD, _V2_INFO = 34, 35, 36, 37
_SA_PAYLOAD, _V2_SA_PAYLOAD = 1, 33


@record(slots=True)
class Sketch:
    """``opening``: the first message begins the SA (responder cookie zero); ``deep``: it went
    beyond message 2; ``established_ns``: a quick mode or IKE_AUTH was answered."""

    track: IkeTrack
    version: int
    opening: bool
    initiator: End
    deep: bool = False
    established_ns: int | None = None
    ends: set[End] = field(default_factory=set)
    """Ends of the initiator: it may float to another port, and a NAT may give it yet another."""
    sent: list[bool] = field(default_factory=list)
    """For each message, whether it is the initiator's."""
    first_ns: int = 0
    last_ns: int = 0
    spis: set[int] = field(default_factory=set)
    """From decrypted quick modes."""

    @property
    def notice(self) -> bool:
        """Nothing but IKEv1 Informational messages: no SA that anyone began or used here."""
        return self.version == 1 and all(m.data[18] == INFORMATIONAL for m in self.track.messages)

    @property
    def responder(self) -> str:
        one, two = self.track.hosts
        return two if self.initiator[0] == one else one


def sketch(track: IkeTrack, esp: Sequence[FlowTrack] = ()) -> Sketch:
    """``esp``: what there is between these hosts."""
    first = track.messages[0]
    head = first.data
    version, exchange = head[17] >> 4, head[18]
    opening = head[8:16] == NO_COOKIE and exchange in (_MAIN, _AGGRESSIVE, _SA_INIT)
    found = Sketch(
        track,
        version,
        opening,
        first.src if opening else _guess_initiator(track, esp),
        first_ns=track.first_ns,
        last_ns=track.last_ns,
    )
    found.ends.add(found.initiator)
    same_host = track.hosts[0] == track.hosts[1]
    responder: set[End] = {first.dst if first.src == found.initiator else first.src}
    quick: dict[bytes, bool] = {}
    for m in track.messages:
        if same_host:
            mine = _by_end(m.src, m.dst, found.ends, responder)
        else:
            mine = m.src[0] == found.initiator[0]
            if len(found.ends) < 64:
                found.ends.add(m.src if mine else m.dst)
        found.sent.append(mine)
        data = m.data
        exchange = data[18]
        third = exchange in (_MAIN, _AGGRESSIVE) and mine and data[8:16] != NO_COOKIE
        if third or exchange in (_QUICK, _TRANSACTION, _AUTH, _CHILD):
            found.deep = True
        if (
            exchange in (_QUICK, _AUTH)
            and found.established_ns is None
            and quick.setdefault(data[20:24], mine) != mine
        ):
            found.established_ns = m.time_ns
    return found


def other_kind(one: Sketch, two: Sketch) -> bool:
    """Whether two clients of different make began these: hardly any vendor ID in common."""
    vendors = [_vendors(s.track.messages[0].data) for s in (one, two)]
    if min(map(len, vendors)) < _SEVERAL:
        return False
    common, either = vendors[0] & vendors[1], vendors[0] | vendors[1]
    return 2 * len(common) < len(either)


_SEVERAL = 3
"""Vendor IDs that tell a client's make; all announce NAT traversal, in one way or in several."""


def _vendors(data: bytes) -> frozenset[bytes]:
    """Of a message that begins an SA of IKEv1; none of any other."""
    if data[8:16] != NO_COOKIE or data[17] >> 4 != 1:
        return frozenset()
    try:
        payloads = decode(data).payloads
    except ProtocolError:
        return frozenset()
    return frozenset(p.vendor_id for p in payloads if isinstance(p, VendorIdPayload))


def _by_end(src: End, dst: End, ours: set[End], theirs: set[End]) -> bool:
    """Both hosts have one address: told by ports. Between two new ones it is the initiator that
    moves first (RFC 3947 section 4)."""
    if src in ours or dst in theirs:
        ours.add(src)
        theirs.add(dst)
        return True
    if src in theirs or dst in ours:
        theirs.add(src)
        ours.add(dst)
        return False
    ours.add(src)
    theirs.add(dst)
    return True


def _guess_initiator(track: IkeTrack, esp: Sequence[FlowTrack]) -> End:
    """Who began an SA whose first messages are not in the capture."""
    for m in track.messages:
        if m.data[17] >> 4 == 2 and len(m.data) > 19:
            # RFC 7296 section 3.1: the I flag is set by the original initiator.
            return m.src if m.data[19] & 0x08 else m.dst
    first = track.messages[0]
    for m in track.messages:
        if m.data[8:16] == NO_COOKIE and m.data[18] in (_MAIN, _AGGRESSIVE):
            return m.src  # RFC 2408 section 3.1: the responder's cookie is not known yet
    if _answers(first.data):
        return first.dst
    known = [end for end in (first.src, first.dst) if end[1] in (500, 4500)]
    if len(known) == 1:
        return first.dst if known[0] == first.src else first.src
    if first.data[18] == _MAIN or not esp:
        # Who began main mode begins the first quick mode behind it; later on either side may. And
        # it sends the first encrypted message, where the recording begins before that.
        proof = (m.src for m in track.messages if is_proof(m.data))
        return _began_quick_mode(track) or next(proof, None) or first.src
    if _names(first.data) in _KNOWS_NOT:
        return first.dst
    senders = {flow.src[0] for flow in esp}
    if len(senders) == 1:
        # Who is idle announces itself, and who has no way back asks: mostly it is the client.
        return first.src if first.src[0] in senders else first.dst
    if _asks_whether_alive(track):
        return first.dst
    began = _began_quick_mode(track) if first.data[18] == _QUICK else None
    return began or first.src


def _asks_whether_alive(track: IkeTrack) -> bool:
    """Whether the first two messages are dead peer detection, all encrypted: mostly it is the
    gateway that asks (Windows never does)."""
    if len(track.messages) < 2:
        return False
    one, two = track.messages[:2]
    return (
        all(m.data[18] == INFORMATIONAL and m.data[19] & 1 for m in (one, two))
        and one.src[0] != two.src[0]
        and len(one.data) + one.missing == len(two.data) + two.missing
        and two.time_ns - one.time_ns <= _ALIVE_NS
    )


def _began_quick_mode(track: IkeTrack) -> End | None:
    """Who began the first one that is seen. Message 3 is a hash alone (RFC 2409 section 5.5): where
    it is what answers, message 1 is not in the capture."""
    quick = [m for m in track.messages if m.data[18] == _QUICK]
    if not quick:
        return None
    one = quick[0]
    for two in quick[1:]:
        if two.src[0] != one.src[0] and two.data[20:24] == one.data[20:24]:
            third = len(two.data) + two.missing <= HASH_ALONE < len(one.data) + one.missing
            return one.dst if third else one.src
    return one.src


def is_proof(data: bytes) -> bool:
    """An encrypted message of main mode: 5 or 6."""
    return data[18] == _MAIN and data[19] & 1 != 0


def _answers(data: bytes) -> bool:
    """A message that only a responder sends: the choice of a transform, or the refusal of an
    offer, neither of them encrypted."""
    if len(data) < 40 or data[17] >> 4 != 1 or data[19] & 1 or data[8:16] == NO_COOKIE:
        return False
    if data[18] in (_MAIN, _AGGRESSIVE):
        return data[16] == _SA_PAYLOAD
    return _names(data) in _REFUSES_MESSAGE_1


def _names(data: bytes) -> int:
    """The number of the notification in an informational message that is not encrypted; -1: it has
    none."""
    if len(data) < 40 or data[17] >> 4 != 1 or data[19] & 1:
        return -1
    if data[18] != INFORMATIONAL or data[16] != _NOTIFICATION:
        return -1
    return int.from_bytes(data[38:40], "big")
