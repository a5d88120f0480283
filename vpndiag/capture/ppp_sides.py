"""Who sent what on a PPP link that was captured without directions, and its rounds.

A bare PPP capture often does not say which side sent a packet. It follows from the protocol: a
reply is not from the side that asked, a magic number belongs to one side (RFC 1661 section 6.4),
an authenticator sends the challenges and the verdicts. The side that is asked to prove itself is
called the client.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vpndiag.capture.material import PppTrack
from vpndiag.capture.packets import PppPacket
from vpndiag.protocols.ppp.protocols import PPPOE

LCP, IPCP, PAP, CHAP, EAP = 0xC021, 0x8021, 0xC023, 0xC223, 0xC227
_REQUEST, _ACK, _NAK, _REJECT, _TERMINATE, _TERMINATE_ACK = 1, 2, 3, 4, 5, 6
_PROTOCOL_REJECT, _ECHO, _ECHO_REPLY = 8, 9, 10
_MAX_OPEN = 64
_AUTH_OPTION, _MAGIC_OPTION = 3, 5


@dataclass(slots=True)
class PppRound:
    """One attempt on a link: from LCP's first request to the next round. ``sent`` tells for each
    packet whether the client sent it."""

    client: str
    gateway: str
    packets: list[PppPacket] = field(default_factory=list)
    sent: list[bool] = field(default_factory=list)
    begun: bool = True
    end_ns: int = 0

    @property
    def first_ns(self) -> int:
        return self.packets[0].time_ns

    @property
    def last_ns(self) -> int:
        return self.packets[-1].time_ns


class _Sides:
    """Packets joined by "same side" and "other side" (union-find with parity)."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))
        self._parity = [0] * count

    def find(self, node: int) -> tuple[int, int]:
        parity = 0
        path = []
        while self._parent[node] != node:
            path.append(node)
            parity ^= self._parity[node]
            node = self._parent[node]
        rest = parity
        for one in path:
            mine = self._parity[one]
            self._parent[one], self._parity[one] = node, rest
            rest ^= mine
        return node, parity

    def join(self, one: int, two: int, opposite: bool) -> None:
        """No effect when it contradicts what is known."""
        a, pa = self.find(one)
        b, pb = self.find(two)
        if a != b:
            self._parent[a] = b
            self._parity[a] = pa ^ pb ^ opposite


def rounds(track: PppTrack) -> list[PppRound]:
    """The attempts on one link, directions told."""
    packets = track.packets
    if not packets:
        return []
    sides = _given(packets)
    if sides is None:
        sides = _inferred(packets)
    client_side = _client(packets, sides)
    sent = [side == client_side for side in sides]
    names = _names(track, packets, sent)
    return _split(packets, sent, names)


def _given(packets: list[PppPacket]) -> list[int] | None:
    """Sides as the capture tells them: MAC addresses or direction."""
    if all(p.src for p in packets):
        one = min(min(p.src, p.dst) for p in packets)
        return [int(p.src != one) for p in packets]
    if all(p.outgoing is not None for p in packets):
        return [0 if p.outgoing else 1 for p in packets]
    return None


def _inferred(packets: list[PppPacket]) -> list[int]:
    joined = _Sides(len(packets) + 1)
    _replies(packets, joined)
    _rejected(packets, joined)
    _roles(packets, joined)
    _retransmissions(packets, joined)
    # What is still apart is tied to the first part by being the other's counterpart.
    first = joined.find(0)[0]
    apart = [i for i in range(len(packets)) if joined.find(i)[0] != first]
    for i in sorted(apart, key=lambda i: (packets[i].protocol != LCP, i)):
        p = packets[i]
        if joined.find(i)[0] != first:
            j = _counterpart(packets, joined, i, first)
            if j is not None:
                joined.join(i, j[0], j[1])
            else:
                joined.join(i, 0, p.payload[:1] in (b"\x02", b"\x03", b"\x04"))
    _, parity = joined.find(0)
    return [joined.find(i)[1] ^ parity for i in range(len(packets))]


def _replies(packets: list[PppPacket], joined: _Sides) -> None:
    """A reply has its request's protocol and identifier; an Ack repeats its options as well."""
    waiting: dict[tuple[int, int], list[int]] = {}
    for i, p in enumerate(packets):
        if len(p.payload) < 4:
            continue
        code, ident = p.payload[0], p.payload[1]
        kind = _kind(p.protocol, code)
        key = (p.protocol, ident)
        if kind == "ask":
            asked = waiting.setdefault(key, [])
            asked.append(i)
            del asked[:-_MAX_OPEN]
        elif kind == "reply":
            asked = waiting.get(key, [])
            match = _best(packets, asked, p, joined, i)
            if match is not None:
                joined.join(i, match, True)
                asked.remove(match)


def _rejected(packets: list[PppPacket], joined: _Sides) -> None:
    """A Protocol-Reject has the other side's packet in it (RFC 1661 section 5.7)."""
    for i, p in enumerate(packets):
        if p.protocol != LCP or p.payload[:1] != bytes((_PROTOCOL_REJECT,)):
            continue
        protocol, copy = int.from_bytes(p.payload[4:6]), p.payload[6:]
        for j in range(i - 1, max(-1, i - _MAX_OPEN), -1):
            q = packets[j]
            if q.protocol == protocol and copy[:4] == q.payload[:4] != b"":
                joined.join(i, j, True)
                break


def _kind(protocol: int, code: int) -> str:
    if protocol == PAP:
        return "ask" if code == 1 else "reply"
    if protocol in (CHAP, EAP):
        return "ask" if code == 1 else ("reply" if code == 2 else "")
    if code in (_REQUEST, _TERMINATE) or (protocol == LCP and code == _ECHO):
        return "ask"
    if code in (_ACK, _NAK, _REJECT, _TERMINATE_ACK) or (protocol == LCP and code == _ECHO_REPLY):
        return "reply"
    return ""


_ANSWERS = {_ACK: _REQUEST, _NAK: _REQUEST, _REJECT: _REQUEST, _TERMINATE_ACK: _TERMINATE,
            _ECHO_REPLY: _ECHO}  # fmt: skip


def _best(
    packets: list[PppPacket], asked: list[int], reply: PppPacket, joined: _Sides, at: int
) -> int | None:
    code = reply.payload[0]
    control = reply.protocol not in (PAP, CHAP, EAP)
    fitting = [i for i in asked if not control or packets[i].payload[0] == _ANSWERS.get(code, 0)]
    if control and code == _ACK:
        exact = [i for i in fitting if packets[i].payload[4:] == reply.payload[4:]]
        fitting = exact or fitting
    elif control and code == _REJECT:
        within = [i for i in fitting if reply.payload[4:] in packets[i].payload]
        fitting = within or fitting
    return fitting[-1] if fitting else None


def _magic(p: PppPacket) -> bytes | None:
    """The sender's magic number in an LCP packet."""
    if p.protocol != LCP or len(p.payload) < 4:
        return None
    code = p.payload[0]
    if code in (_ECHO, _ECHO_REPLY, 11):
        magic = p.payload[4:8]
        return magic if any(magic) else None
    if code != _REQUEST:
        return None
    for kind, value in _options(p.payload):
        if kind == _MAGIC_OPTION:
            return value if any(value) else None
    return None


def _options(payload: bytes) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    at, end = 4, min(len(payload), int.from_bytes(payload[2:4], "big"))
    while at + 2 <= end:
        kind, size = payload[at], payload[at + 1]
        if size < 2:
            break
        found.append((kind, payload[at + 2 : min(at + size, end)]))
        at += size
    return found


def _authenticator(p: PppPacket) -> bool | None:
    """Whether the sender of this packet is the side that checks the login; None: cannot be told."""
    return _checks_login(p.protocol, p.payload)


def _checks_login(protocol: int, payload: bytes) -> bool | None:
    code = payload[0] if payload else 0
    if protocol == PAP:
        return code in (2, 3)
    if protocol in (CHAP, EAP):
        return code != 2
    return None


def _roles(packets: list[PppPacket], joined: _Sides) -> None:
    """Magic numbers belong to a side; an LCP request with an authentication protocol and what the
    authenticator says are of the same side (unless both sides authenticate)."""
    owner: dict[bytes, int] = {}
    for i, p in enumerate(packets):
        magic = _magic(p)
        if magic is not None:
            if magic in owner:
                joined.join(i, owner[magic], False)
            else:
                owner[magic] = i
    demanding = [
        i
        for i, p in enumerate(packets)
        if p.protocol == LCP
        and p.payload[:1] == b"\x01"
        and any(kind == _AUTH_OPTION for kind, _ in _options(p.payload))
    ]
    sides = {joined.find(i) for i in demanding}
    if demanding and len(sides) == 1:
        for i, p in enumerate(packets):
            told = _authenticator(p)
            if told is not None:
                joined.join(i, demanding[0], not told)
    else:
        by_name: dict[tuple[int, bytes], int] = {}
        for i, p in enumerate(packets):
            # The name in challenges and responses is the sender's (RFC 1994 section 4.1).
            if p.protocol == CHAP and p.payload[:1] in (b"\x01", b"\x02"):
                size = p.payload[4] if len(p.payload) > 4 else 0
                name = p.payload[5 + size :]
                if name:
                    joined.join(i, by_name.setdefault((CHAP, name), i), False)
            elif p.protocol == CHAP and p.payload[:1] in (b"\x03", b"\x04"):
                for j in range(i - 1, -1, -1):
                    q = packets[j]
                    if q.protocol == CHAP and q.payload[:2] == b"\x02" + p.payload[1:2]:
                        joined.join(i, j, True)
                        break


def _retransmissions(packets: list[PppPacket], joined: _Sides) -> None:
    """The same request again after a second or more is a retransmission; at once it is the other
    side's (both often begin with the same identifier and options)."""
    last: dict[tuple[int, bytes], int] = {}
    for i, p in enumerate(packets):
        if p.payload[:1] != b"\x01":
            continue
        key = (p.protocol, p.payload)
        j = last.get(key)
        if j is not None:
            close = p.time_ns - packets[j].time_ns < 900_000_000
            joined.join(i, j, close)
        last[key] = i


def _counterpart(
    packets: list[PppPacket], joined: _Sides, at: int, first: int
) -> tuple[int, bool] | None:
    """For a packet that nothing ties to the rest: one of the main part that it can be compared
    with, and whether it is from the other side."""
    p = packets[at]
    if len(p.payload) < 4:
        return None
    if p.protocol in (PAP, CHAP, EAP):
        for j, q in enumerate(packets):
            told = _authenticator(q)
            if told is not None and joined.find(j)[0] == first:
                return j, told != bool(_authenticator(p))
        return None
    if p.payload[0] not in (_REQUEST, _TERMINATE):
        return None
    follower = _next_identifier(packets, joined, at, first)
    if follower is not None:
        return follower
    if p.protocol != LCP:
        # Who ends the link does not begin a network protocol on it.
        for j in range(max(0, at - 3), min(at + 4, len(packets))):
            q = packets[j]
            if q.protocol == LCP and q.payload[:1] == b"\x05" and joined.find(j)[0] == first:
                return j, True
    # A Configure-Request goes out in a negotiation in which the other's is known already.
    for j in range(at - 1, -1, -1):
        q = packets[j]
        if q.protocol == p.protocol and q.payload[:1] == b"\x01" and joined.find(j)[0] == first:
            return j, q.payload[4:] != p.payload[4:]
    for j in range(at + 1, min(at + 8, len(packets))):
        q = packets[j]
        if q.protocol == p.protocol and q.payload[:1] == b"\x01" and joined.find(j)[0] == first:
            return j, q.payload[4:] != p.payload[4:]
    return None


def _next_identifier(
    packets: list[PppPacket], joined: _Sides, at: int, first: int
) -> tuple[int, bool] | None:
    """Each side counts its requests: the identifier after one side's last and not after the
    other's is that side's."""
    p = packets[at]
    last: dict[int, int] = {}
    for j in range(at - 1, -1, -1):
        q = packets[j]
        if q.protocol == p.protocol and len(q.payload) >= 4 and q.payload[0] in (1, 5):
            root, parity = joined.find(j)
            if root == first:
                last.setdefault(parity, j)
        if len(last) == 2:
            break
    fits = [j for j in last.values() if (packets[j].payload[1] + 1) % 256 == p.payload[1]]
    return (fits[0], False) if len(fits) == 1 else None


def _client(packets: list[PppPacket], sides: list[int]) -> int:
    """The side that proves itself, else the one that asks for an address, else the first."""
    votes = [0, 0]
    for p, side in zip(packets, sides, strict=True):
        vote = client_vote(p.protocol, p.payload)
        votes[side if vote > 0 else 1 - side] += abs(vote)
    if votes[0] == votes[1]:
        return sides[0]
    return int(votes[1] > votes[0])


def client_vote(protocol: int, payload: bytes) -> int:
    """How much a control packet speaks for its sender being the client; negative: against it."""
    if len(payload) < 4:
        return 0
    told = _checks_login(protocol, payload)
    if told is not None:
        return -3 if told else 3
    code = payload[0]
    if code == _REQUEST and protocol == LCP:
        return -2 if any(kind == _AUTH_OPTION for kind, _ in _options(payload)) else 0
    if code == _REQUEST and protocol == IPCP:
        votes = [2 if kind == 3 else 1 for kind, value in _options(payload)
                 if (kind == 3 and not any(value)) or kind in (129, 131)]  # fmt: skip
        return sum(votes)
    return -2 if code == _NAK and protocol == IPCP else 0


def _names(track: PppTrack, packets: list[PppPacket], sent: list[bool]) -> tuple[str, str]:
    for p, by_client in zip(packets, sent, strict=True):
        if p.src:
            return (p.src, p.dst) if by_client else (p.dst, p.src)
    return "PPP client", "PPP server"


def _split(packets: list[PppPacket], sent: list[bool], names: tuple[str, str]) -> list[PppRound]:
    """A new round begins with LCP's first request after the link was terminated or silent."""
    found: list[PppRound] = []
    current: PppRound | None = None
    over = False
    for p, by_client in zip(packets, sent, strict=True):
        code = p.payload[0] if p.payload else 0
        fresh = p.protocol == LCP and code == _REQUEST
        if current is None or (fresh and over):
            if current is not None:
                current.end_ns = p.time_ns
            current = PppRound(*names, begun=fresh)
            found.append(current)
            over = False
        current.packets.append(p)
        current.sent.append(by_client)
        if p.protocol == PPPOE or (p.protocol == LCP and code in (_TERMINATE, _TERMINATE_ACK)):
            over = True
    return found
