"""L2TP in attempts: out of ESP it goes to its IPsec attempt, in the clear it makes its own."""

from __future__ import annotations

from collections import defaultdict

from vpndiag.capture.attempt import SECOND, SLACK, Attempt
from vpndiag.capture.carried import l2tp_data
from vpndiag.capture.l2tp_ids import TUNNEL, assigned, avp, header_ids
from vpndiag.capture.material import L2tpTrack, other_host
from vpndiag.capture.packets import Message
from vpndiag.capture.ppp_roles import client_vote
from vpndiag.protocols.l2tp.constants import MessageType

# As plain numbers: members of an enumeration are slow to compare.
_SCCRQ, _SCCRP = int(MessageType.SCCRQ), int(MessageType.SCCRP)
_STOPCCN = int(MessageType.StopCCN)
_RESULT = 1
"""AVP Result Code."""
_FIRST_ANSWER = b"\0\0\0\1"
"""Ns and Nr of the first message of who was asked (RFC 2661 section 5.8)."""
_NO_CALL = frozenset(bytes((0, code)) for code in range(4, 12))
"""Results of a CDN for a call that did not come about (RFC 2661 section 4.4.2)."""
AFTER = 10 * SECOND
"""L2TP in the clear may follow an IPsec attempt by this much and be of it."""


_Homes = dict[tuple[str, int], Attempt]
"""Tunnels by the host that receives a message, and the tunnel ID in its header."""


def put_inside(tunnel: L2tpTrack, attempts: list[Attempt]) -> None:
    """L2TP that came out of ESP goes where its ESP flow went."""
    owner = {f.spi: a for a in attempts for f in a.flows}
    for m in tunnel.messages:
        attempt = owner.get(m.spi)
        if attempt is not None:
            attempt.inside.append(m)
    for attempt in attempts:
        _set_roles(attempt, attempt.inside, tunnel)
    for count in tunnel.data.values():
        for attempt in attempts:
            if attempt.first_ns <= count.first_ns <= attempt.last_ns:
                attempt.data.append(count)
                break


def clear(tunnel: L2tpTrack, ipsec: list[Attempt]) -> list[Attempt]:
    """Attempts made of L2TP in the clear. What overlaps an IPsec attempt of the same two hosts is
    of that one: a capture inside of IPsec, a probe, or packets that leaked."""
    rest: list[Message] = [] if ipsec else tunnel.messages
    for m in tunnel.messages if ipsec else ():
        for attempt in ipsec:
            if attempt.first_ns - SLACK <= m.time_ns <= attempt.last_ns + AFTER:
                attempt.clear.append(m)
                break
        else:
            rest.append(m)
    for attempt in ipsec:
        _set_roles(attempt, attempt.clear, tunnel)
    found, homes = _tunnels(rest, tunnel)
    everyone = found or ipsec
    if not everyone and tunnel.data:
        first = min(tunnel.data.values(), key=lambda d: d.first_ns)
        other = other_host(tunnel.hosts, first.src)
        found = everyone = [Attempt(first.src, other, begun=False)]
    for count in tunnel.data.values():
        home = homes.get((other_host(tunnel.hosts, count.src), count.tunnel))
        if home is None:
            home = _latest(everyone, count.last_ns)
        elif len(found) > 1 and home.first_ns > count.first_ns:
            home = _latest(found, count.first_ns)  # a later tunnel has the same ID
        home.data.append(count)
    return found


def _latest(attempts: list[Attempt], before_ns: int) -> Attempt:
    """The last one that had begun by then."""
    begun = [a for a in attempts if a.first_ns and a.first_ns <= before_ns]
    return begun[-1] if begun else attempts[0]


def _set_roles(attempt: Attempt, messages: list[Message], tunnel: L2tpTrack) -> None:
    """Where the beginning of IKE is not in the capture, who began was a guess: L2TP knows."""
    if not messages or attempt.client == attempt.gateway or any(s.opening for s in attempt.ike):
        return
    if attempt.ike:
        client = _dialled(messages, bool(tunnel.data)) or _asker(messages)
    else:
        client = _l2tp_client(messages, tunnel)
    if client:
        attempt.client, attempt.gateway = client, other_host(tunnel.hosts, client)


def _tunnels(messages: list[Message], tunnel: L2tpTrack) -> tuple[list[Attempt], _Homes]:
    """One attempt for each tunnel, and which tunnel IDs they have."""
    kinds = [m.control for m in messages]
    begun = kinds[:1] == [_SCCRQ]
    if _SCCRQ not in kinds[begun:]:
        return _one_tunnel(messages, tunnel, begun)
    found: list[Attempt] = []
    homes: _Homes = {}
    current: Attempt | None = None
    asked: int | bytes = b""
    client = ""
    closed = False
    for m in messages:
        kind = m.control
        home = homes.get((m.dst[0], header_ids(m.data)[0]))
        if kind == _SCCRQ:
            offered: int | bytes = assigned(m.data, TUNNEL) or m.data
            again = offered == asked and m.src[0] == client and not closed
            quick = (
                current is not None
                and not closed
                and m.src[0] == client
                and len({x.control for x in current.clear}) == 1
                and m.time_ns - current.last_ns < SLACK
            )
            if current is None or not (again or quick):
                client, closed = m.src[0], False
                current = Attempt(client, other_host(tunnel.hosts, client))
                found.append(current)
            asked, home = offered, current
        elif current is None:
            client = _l2tp_client(messages, tunnel)
            current = Attempt(client, other_host(tunnel.hosts, client), begun=False)
            found.append(current)
        home = home or current
        _note_id(m, home, homes)
        home.clear.append(m)
        if kind == _STOPCCN and home is current:
            closed = True
    return found, homes


def _one_tunnel(
    messages: list[Message], tunnel: L2tpTrack, begun: bool
) -> tuple[list[Attempt], _Homes]:
    """The same where at most the first message asks for a tunnel."""
    if not messages:
        return [], {}
    client = messages[0].src[0] if begun else _l2tp_client(messages, tunnel)
    only = Attempt(client, other_host(tunnel.hosts, client), begun=begun, clear=messages)
    homes: _Homes = {}
    for m in messages:
        if m.control:
            _note_id(m, only, homes)
    return [only], homes


def _note_id(m: Message, home: Attempt, homes: _Homes) -> None:
    if m.control in (_SCCRQ, _SCCRP) and m.src[0] != m.dst[0]:
        number = assigned(m.data, TUNNEL)
        if number:
            homes[m.src[0], number] = home


def _dialled(messages: list[Message], used: bool) -> str:
    """Who dialled a tunnel, as its handshake or PPP in it tells; empty: they do not. ``used``: a
    call in it carried data, so that what ends it refuses nothing."""
    for m in messages:
        kind = m.control
        if kind in (MessageType.SCCCN, MessageType.ICRQ, MessageType.ICCN):
            return m.src[0]
        if kind == MessageType.SCCRP:
            return m.dst[0]
        if kind == MessageType.SCCRQ:
            break
        if (kind == _STOPCCN and m.data[8:12] == _FIRST_ANSWER) or (
            not used and kind == MessageType.CDN and avp(m.data, _RESULT)[:2] in _NO_CALL
        ):
            return m.dst[0]  # it was asked for a tunnel, or a call
    return _by_ppp(messages)


def _l2tp_client(messages: list[Message], tunnel: L2tpTrack) -> str:
    """Who dialled a tunnel that is older than the capture: at worst, who sends users' data first,
    since clients ask and servers answer."""
    told = _dialled(messages, bool(tunnel.data))
    if told:
        return told
    for m in messages:
        if (m.src[1] == 1701) != (m.dst[1] == 1701):
            return m.dst[0] if m.src[1] == 1701 else m.src[0]
    asker = _asker(messages)
    if not asker and tunnel.data:
        return min(tunnel.data.values(), key=lambda d: d.first_ns).src
    return asker or (messages[0].src[0] if messages else tunnel.hosts[0])


def _asker(messages: list[Message]) -> str:
    """Who asks for a tunnel; an LNS may as well, for a call of its own. Empty: nobody does."""
    return next((m.src[0] for m in messages if m.control == _SCCRQ), "")


def _by_ppp(messages: list[Message]) -> str:
    """The client's address as PPP tells it: who proves itself, who asks for an address; empty when
    it does not."""
    votes: dict[str, int] = defaultdict(int)
    for m in messages:
        carried = l2tp_data(m.data)
        if carried is None:
            continue
        frame = carried[2].removeprefix(b"\xff\x03")
        vote = client_vote(int.from_bytes(frame[:2], "big"), frame[2:])
        votes[m.src[0] if vote > 0 else m.dst[0]] += abs(vote)
    best = sorted(votes.values())
    if not best or not best[-1] or (len(best) > 1 and best[-1] == best[-2]):
        return ""
    return max(votes, key=lambda one: votes[one])
