"""Who sent what on a PPP link that was captured without directions.

It follows from the protocol: a reply is not from the side that asked, a magic number belongs to one
side (RFC 1661 section 6.4), an authenticator sends the challenges and the verdicts.
"""

from __future__ import annotations

from vpndiag.capture.packets import PppPacket
from vpndiag.capture.ppp_roles import (
    ACK,
    AUTH_OPTION,
    CHAP,
    EAP,
    IPCP,
    LCP,
    MAGIC_OPTION,
    NAK,
    PAP,
    REJECT,
    REQUEST,
    TERMINATE,
    TERMINATE_ACK,
    checks_login,
    client_vote,
    options,
)

_PROTOCOL_REJECT, _ECHO, _ECHO_REPLY = 8, 9, 10
_MAX_OPEN = 64
_AGAIN_NS = 900_000_000
"""From a request to the next of the same side, where nothing answers."""


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


def inferred(packets: list[PppPacket]) -> list[int]:
    """For each packet 0 or 1: the side that sent it."""
    joined = _Sides(len(packets) + 1)
    _replies(packets, joined)
    _rejected(packets, joined)
    _roles(packets, joined)
    _retransmissions(packets, joined)
    # What is still apart is tied to the first part by being the other's counterpart.
    first = joined.find(0)[0]
    apart = [i for i in range(len(packets)) if joined.find(i)[0] != first]
    asks = (bytes((REQUEST,)), bytes((TERMINATE,)))
    order = {i: (packets[i].protocol != LCP, packets[i].payload[:1] not in asks, i) for i in apart}
    for i in sorted(apart, key=order.__getitem__):
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
    """A reply has its request's protocol and identifier; an Ack repeats its options as well. What
    answers nothing that is still open, and was said before, is a repeat of that."""
    waiting: dict[tuple[int, int], list[int]] = {}
    said: dict[tuple[int, bytes], int] = {}
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
            before = said.setdefault((p.protocol, p.payload), i)
            if before != i and not any(packets[j].payload[4:] == p.payload[4:] for j in asked):
                joined.join(i, before, False)
                continue
            match = _best(packets, asked, p, joined, i)
            if match is not None:
                joined.join(i, match, True)
                asked.remove(match)


def _rejected(packets: list[PppPacket], joined: _Sides) -> None:
    """A Protocol-Reject has the other side's packet in it (RFC 1661 section 5.7); who ends the link
    right behind it was rejected."""
    for i, p in enumerate(packets):
        if p.protocol != LCP or p.payload[:1] != bytes((_PROTOCOL_REJECT,)):
            continue
        protocol, copy = int.from_bytes(p.payload[4:6]), p.payload[6:]
        for j in range(i - 1, max(-1, i - _MAX_OPEN), -1):
            q = packets[j]
            if q.protocol == protocol and copy[:4] == q.payload[:4] != b"":
                joined.join(i, j, True)
                break
        for j in range(i + 1, min(i + 3, len(packets))):
            if packets[j].protocol == LCP and packets[j].payload[:1] == bytes((TERMINATE,)):
                joined.join(i, j, True)


def _kind(protocol: int, code: int) -> str:
    if protocol == PAP:
        return "ask" if code == 1 else "reply"
    if protocol in (CHAP, EAP):
        return "ask" if code == 1 else ("reply" if code == 2 else "")
    if code in (REQUEST, TERMINATE) or (protocol == LCP and code == _ECHO):
        return "ask"
    if code in (ACK, NAK, REJECT, TERMINATE_ACK) or (protocol == LCP and code == _ECHO_REPLY):
        return "reply"
    return ""


_ANSWERS = {ACK: REQUEST, NAK: REQUEST, REJECT: REQUEST, TERMINATE_ACK: TERMINATE,
            _ECHO_REPLY: _ECHO}  # fmt: skip


def _best(
    packets: list[PppPacket], asked: list[int], reply: PppPacket, joined: _Sides, at: int
) -> int | None:
    code = reply.payload[0]
    control = reply.protocol not in (PAP, CHAP, EAP)
    fitting = [i for i in asked if not control or packets[i].payload[0] == _ANSWERS.get(code, 0)]
    if control and code == ACK:
        exact = [i for i in fitting if packets[i].payload[4:] == reply.payload[4:]]
        fitting = exact or fitting
    elif control and code == REJECT:
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
    if code != REQUEST:
        return None
    for kind, value in options(p.payload):
        if kind == MAGIC_OPTION:
            return value if any(value) else None
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
        and any(kind == AUTH_OPTION for kind, _ in options(p.payload))
    ]
    sides = {joined.find(i) for i in demanding}
    if demanding and len(sides) == 1:
        for i, p in enumerate(packets):
            told = checks_login(p.protocol, p.payload)
            if told is None and p.protocol == IPCP and (vote := client_vote(IPCP, p.payload)):
                told = vote < 0  # who checks the login gives the addresses
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
            close = p.time_ns - packets[j].time_ns < _AGAIN_NS
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
        return _prover(packets, joined, first, not checks_login(p.protocol, p.payload))
    if p.payload[0] not in (REQUEST, TERMINATE):
        return None
    follower = _next_identifier(packets, joined, at, first)
    if follower is None and p.payload[0] == TERMINATE:
        # Nobody is blamed for an end that may be either's: it is taken for the client's.
        follower = _prover(packets, joined, first, True)
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


def _prover(
    packets: list[PppPacket], joined: _Sides, first: int, same: bool
) -> tuple[int, bool] | None:
    """A packet of the login in the main part, and whether it is from the other side than that of
    who logs in (``same``), or of who checks it."""
    for j, q in enumerate(packets):
        told = checks_login(q.protocol, q.payload)
        if told is not None and joined.find(j)[0] == first:
            return j, told == same
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
    if len(last) == 1:
        fits = [j for j in fits if _over(packets, j, at)]
    return (fits[0], False) if len(fits) == 1 else None


def _over(packets: list[PppPacket], asked: int, at: int) -> bool:
    """Whether its sender had cause to send another request at ``at``: an answer, or time."""
    one = packets[asked]
    return packets[at].time_ns - one.time_ns >= _AGAIN_NS or any(
        p.protocol == one.protocol
        and p.payload[1:2] == one.payload[1:2]
        and p.payload[:1] in (b"\x02", b"\x03", b"\x04", b"\x06")
        for p in packets[asked + 1 : at]
    )
