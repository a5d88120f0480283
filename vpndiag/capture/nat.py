"""A capture on the router that translates addresses shows one side of each direction: what the
client sends with the translated source, what comes back with the client's own address again; or
before a gateway what is sent to the public address, and what comes from its own. The initiator
cookie tells that both are one conversation."""

from __future__ import annotations

from collections.abc import Callable

from vpndiag.capture.material import FlowTrack, Hosts, IkeTrack, Material, hosts
from vpndiag.capture.packets import Message
from vpndiag.capture.ports import NO_COOKIE
from vpndiag.capture.sketch import sketch


def _shared(material: Material) -> list[list[IkeTrack]]:
    """The tracks of each cookie that is seen between several pairs of hosts."""
    by_cookie: dict[bytes, list[IkeTrack]] = {}
    for track in material.ike:
        by_cookie.setdefault(track.cookie, []).append(track)
    if len(by_cookie) == len(material.ike):
        return []
    return [tracks for tracks in by_cookie.values() if len(tracks) > 1]


def join_strangers(material: Material) -> None:
    """Answers with a client's cookie from another address than the one asked go to the SA that
    they answer, marked; a client that waits for the address that it asked never sees them."""
    gone: set[int] = set()
    for tracks in _shared(material):
        for asked in tracks:
            found = sketch(asked)
            client, gateway = found.initiator[0], found.responder
            for other in tracks:
                ways = {(m.src[0], m.dst[0]) for m in other.messages}
                if other is asked or len(ways) != 1 or id(other) in gone:
                    continue
                (source, destination) = next(iter(ways))
                if destination == client and source != gateway and asked.first_ns <= other.first_ns:
                    for m in other.messages:
                        m.other_source = f"{m.src[0]}:{m.src[1]}"
                        m.src = (gateway, m.src[1])
                    asked.messages = sorted(
                        asked.messages + other.messages, key=lambda m: m.frames[-1]
                    )
                    asked.last_ns = max(asked.last_ns, other.last_ns)
                    gone.add(id(other))
    if gone:
        material.ike = [t for t in material.ike if id(t) not in gone]


def join_forwarded(material: Material) -> dict[tuple[str, str], str]:
    """Rewrite in place, as if they came from the address asked, answers from another one that the
    client takes: it goes on with the responder's cookie of such an answer.

    Returns (answering address, client) -> address asked.
    """
    shared = {tracks[0].cookie: tracks for tracks in _shared(material)}
    names: dict[tuple[str, str], str] = {}
    for asked in material.ike if shared else ():
        if asked.cookie not in shared:
            continue
        ways = {(m.src[0], m.dst[0]) for m in asked.messages}
        if len(ways) != 1:
            continue
        client, gateway = next(iter(ways))
        taken = {m.data[8:16] for m in asked.messages} - {NO_COOKIE}
        for other in shared[asked.cookie]:
            came = {(m.src[0], m.dst[0]) for m in other.messages}
            if len(came) != 1 or other.first_ns < asked.first_ns:
                continue
            source, destination = next(iter(came))
            answered = {m.data[8:16] for m in other.messages}
            if destination == client and source != gateway and answered & taken:
                names.setdefault((source, client), gateway)
    for source, client in list(names):
        if _answers(material, client, source):
            del names[source, client]  # it is asked as well
    if names:
        _rewrite(material, lambda src, dst: (names.get((src, dst), src), dst))
    return names


def join_translated(material: Material) -> dict[tuple[str, str], str]:
    """Rewrite such conversations in place, as if every packet had the translated address.

    Returns (own address, gateway) -> translated address.
    """
    names: dict[tuple[str, str], str] = {}
    for tracks in _shared(material):
        for one in tracks:
            for two in tracks:
                found = _one_way(one, two)
                if found is not None:
                    own, gateway, translated = found
                    names.setdefault((own, gateway), translated)
    for (own, gateway), _ in list(names.items()):
        if _answers(material, own, gateway):
            del names[own, gateway]
    if names:
        _rewrite(material, lambda src, dst: (src, names.get((dst, src), dst)))
    return names


def _one_way(one: IkeTrack, two: IkeTrack) -> tuple[str, str, str] | None:
    """(own address, gateway, translated address) when all of ``one`` goes to the gateway and all
    of ``two`` comes from it."""
    if one is two:
        return None
    sent = {(m.src[0], m.dst[0]) for m in one.messages}
    received = {(m.src[0], m.dst[0]) for m in two.messages}
    if len(sent) != 1 or len(received) != 1:
        return None
    (translated, gateway), (source, own) = next(iter(sent)), next(iter(received))
    if gateway != source or own == translated or one.first_ns > two.first_ns:
        return None
    return own, gateway, translated


def _answers(material: Material, own: str, gateway: str) -> bool:
    """Whether this address itself sends to the gateway, so that nothing is translated."""
    pair = hosts(own, gateway)
    return any(
        m.src[0] == own for track in material.ike if track.hosts == pair for m in track.messages
    ) or any(f.src[0] == own and f.hosts == pair for f in material.flows)


def _rewrite(material: Material, moved: Callable[[str, str], Hosts]) -> None:
    """``moved``: the source and destination that a packet is to have, for those that it has."""

    def pair_of(pair: Hosts) -> Hosts:
        for way in (pair, pair[::-1]):
            if moved(*way) != way:
                return hosts(*moved(*way))
        return pair

    def message(m: Message | FlowTrack) -> None:
        src, dst = moved(m.src[0], m.dst[0])
        m.src, m.dst = (src, m.src[1]), (dst, m.dst[1])

    merged: dict[tuple[bytes, Hosts], IkeTrack] = {}
    for track in material.ike:
        for m in track.messages:
            message(m)
        pair = pair_of(track.hosts)
        known = merged.get((track.cookie, pair))
        if known is None:
            track.hosts = pair
            merged[track.cookie, pair] = track
        else:
            known.messages = sorted(known.messages + track.messages, key=lambda m: m.frames[-1])
            known.last_ns = max(known.last_ns, track.last_ns)
            known.left_out += track.left_out
    material.ike = sorted(merged.values(), key=lambda t: t.first_ns)
    for flow in material.flows:
        message(flow)
    tunnels: dict[tuple[Hosts, bool], int] = {}
    for index, tunnel in enumerate(material.l2tp):
        for m in tunnel.messages:
            message(m)
        tunnel.hosts = pair_of(tunnel.hosts)
        first = tunnels.setdefault((tunnel.hosts, tunnel.inside_esp), index)
        if first != index:
            known_tunnel = material.l2tp[first]
            known_tunnel.messages = sorted(
                known_tunnel.messages + tunnel.messages, key=lambda m: m.frames[-1]
            )
            known_tunnel.data.update(tunnel.data)
            tunnel.messages, tunnel.data = [], {}
    material.l2tp = [t for t in material.l2tp if t.messages or t.data]
    for pair, inner in list(material.inner.items()):
        other = pair_of(pair)
        if other != pair:
            del material.inner[pair]
            material.inner[other] = sorted(
                material.inner.get(other, []) + inner, key=lambda m: m.frames[-1]
            )
