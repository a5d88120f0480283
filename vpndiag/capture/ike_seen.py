"""One IKE SA of a capture as observations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from vpndiag.capture.attempt import Attempt
from vpndiag.capture.children import Children
from vpndiag.capture.decrypt import IkeDecryptor
from vpndiag.capture.packets import End, Message
from vpndiag.capture.sketch import Sketch
from vpndiag.observations import IkeEstablished, IkeMessage, Observation
from vpndiag.observations.ike import CUT_SHORT
from vpndiag.observe.ike import IkeObserver
from vpndiag.protocols.errors import ProtocolError
from vpndiag.protocols.ike.constants import PayloadType
from vpndiag.protocols.ike.message import Message as IkeWire
from vpndiag.protocols.ike.message import decode
from vpndiag.protocols.ike.payloads import IdPayload, Payload
from vpndiag.report.text import visible

_BEGIN = (2, 4, 34)
"""Exchange types of an SA's first messages."""
_AGGRESSIVE = b"\x04"


def ike_seen(
    attempt: Attempt,
    s: Sketch,
    key: list[bytes],
    t: Callable[[int], float],
    certificates: Callable[[IkeMessage, tuple[Payload, ...]], Iterable[Observation]],
) -> Iterator[Observation]:
    """The messages of one IKE SA, and what they bring about. ``key``: what was given to read it.
    ``t``: seconds of a packet's time. ``certificates``: what is to be seen in these payloads."""
    observer = IkeObserver()
    decryptor = IkeDecryptor(key)
    children = Children()
    proof: dict[bool, Payload] = {}
    client = attempt.is_client(s)
    asked: set[End] = set()
    if not s.opening:
        observer.begun(s.track.cookie.hex(), client)
    for m, from_initiator in zip(s.track.messages, s.sent, strict=True):
        payloads, protection = None, None
        wire: IkeWire | None = None
        data = m.data
        if m.missing and len(data) >= 28 and data[19] & 1:
            data += bytes(m.missing)  # a header says enough of what is encrypted
        # Without a key only a certificate in aggressive mode would be news to the observer.
        if key or m.missing or data[18:19] == _AGGRESSIVE:
            try:
                wire = decode(data)
            except ProtocolError:
                pass
            else:
                if not m.missing:
                    payloads, protection = decryptor.open(wire, from_initiator)
        out = from_initiator == client
        other_source = m.other_source
        if out:
            asked.add(m.dst)
        elif asked and m.src not in asked and not other_source and _strange(s, m, asked):
            other_source = f"{m.src[0]}:{m.src[1]}"
        seen = observer.observe(
            data,
            t=t(m.time_ns),
            direction="out" if out else "in",
            other_source=other_source,
            source=m.src,
            destination=m.dst,
            marker=m.marker,
            frames=m.frames,
            payloads=payloads,
            protection=protection,
        )
        if seen.port not in (500, 4500):
            # Behind a forwarded port a gateway's ports have other numbers.
            seen = replace(seen, port=4500 if seen.marker else 500)
        if m.missing and wire is None:
            seen = _cut_short(seen)
        yield seen
        if wire is None or seen.repeat:
            continue
        clear = wire.payloads if payloads is None else payloads
        yield from certificates(seen, clear)
        if seen.step in ("MM5", "MM6", "AM2", "AM3") and protection != "undecryptable":
            for p in clear:
                if isinstance(p, IdPayload):
                    proof.setdefault(seen.direction == "in", p)
        if seen.step == "MM6" and protection == "decrypted" and _proven(clear):
            identity = proof.get(True)
            yield IkeEstablished(
                t=seen.t,
                frames=seen.frames,
                initiator_cookie=seen.initiator_cookie,
                peer_identity=visible(identity.text, 120)
                if isinstance(identity, IdPayload)
                else "",
            )
        if seen.step.startswith("QM"):
            sa = children.take(seen, clear)
            if sa is not None:
                yield sa


def _strange(s: Sketch, m: Message, asked: set[End]) -> bool:
    """Whether an answer from an end that was not asked is one, or the question was not recorded: of
    an SA whose beginning is missing, or behind the change of port (RFC 3947 section 4)."""
    if m.src[0] not in {host for host, _ in asked}:
        return True
    beyond = m.data[19] & 1 or m.data[18] not in _BEGIN
    return s.opening and not (m.marker and beyond)


def _cut_short(seen: IkeMessage) -> IkeMessage:
    """A clear message of which the capture kept only the beginning (snap length)."""
    zero = seen.responder_cookie == "00" * 8
    step = {2: "MM1", 4: "AM1"}.get(seen.exchange, "?") if zero else "?"
    return replace(seen, step=step, payloads=(CUT_SHORT,))


def _proven(payloads: tuple[Payload, ...]) -> bool:
    kinds = {p.payload_type for p in payloads}
    return PayloadType.ID in kinds and bool(kinds & {PayloadType.HASH, PayloadType.SIG})
