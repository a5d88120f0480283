"""IKE messages that came in IKE's own fragments (payload 132): put together, as the other side
does before it reads them."""

from __future__ import annotations

from dataclasses import field, replace

from vpndiag.capture.material import IkeTrack, Material
from vpndiag.capture.packets import End, Incomplete, Message
from vpndiag.protocols.errors import ProtocolError
from vpndiag.protocols.ike.constants import PayloadType
from vpndiag.protocols.ike.fragment import Reassembler
from vpndiag.protocols.ike.message import Message as IkeMessage
from vpndiag.protocols.ike.message import decode
from vpndiag.protocols.ike.payloads import FragmentPayload
from vpndiag.records import record

_FRAGMENT = int(PayloadType.FRAGMENTATION)
_WAITED = 1_000_000_000
"""Nanoseconds behind the first piece, after which those still missing are lost."""


@record(slots=True)
class _Sender:
    whole: Reassembler = field(default_factory=Reassembler)
    pieces: dict[tuple[int, int], list[Message]] = field(default_factory=dict)
    """Of each message that is not complete, by message ID and fragment ID."""


def join(material: Material) -> None:
    """Replace the fragments of each message that is complete by it; tell which never were."""
    for track in material.ike:
        if any(_is_fragment(m) for m in track.messages):
            _join(track, material)


def _is_fragment(m: Message) -> bool:
    return len(m.data) > 28 and m.data[16] == _FRAGMENT and not m.missing


def _join(track: IkeTrack, material: Material) -> None:
    kept: list[Message] = []
    senders: dict[End, _Sender] = {}
    for m in track.messages:
        message = _decoded(m) if _is_fragment(m) else None
        piece = message.first(FragmentPayload) if message is not None else None
        if message is None or piece is None:
            kept.append(m)
            continue
        number = message.header.message_id, piece.fragment_id
        sender = senders.setdefault(m.src, _Sender())
        pieces = sender.pieces.setdefault(number, [])
        pieces.append(m)
        try:
            data = sender.whole.add(message)
        except ProtocolError:
            data = None
        if data is not None and len(data) >= 28:
            frames = tuple(f for p in pieces for f in p.frames)
            kept.append(replace(m, data=data, frames=frames))
            del sender.pieces[number]
    for sender in senders.values():
        for pieces in sender.pieces.values():
            kept += pieces
            if material.last_ns - pieces[0].time_ns >= _WAITED:
                material.incomplete.append(_lost(pieces))
    track.messages = sorted(kept, key=lambda m: (m.time_ns, m.frames))


def _decoded(m: Message) -> IkeMessage | None:
    try:
        return decode(m.data)
    except ProtocolError:
        return None


def _lost(pieces: list[Message]) -> Incomplete:
    first = pieces[0]
    return Incomplete(
        first.src[0], first.dst[0], 17, 0, tuple(f for p in pieces for f in p.frames),
        first.time_ns, pieces[-1].time_ns, (), first.src[1], first.dst[1], b"", "timeout",
    )  # fmt: skip
