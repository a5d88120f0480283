"""IKE fragmentation: payload 132 of Cisco and [MS-IKEE] section 2.2.1 / 3.1.

Each fragment is a clear ISAKMP message with one Fragment payload; all pieces together are one
whole ISAKMP message, header included. Both sides announce it with the FRAGMENTATION vendor id.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import field, replace

from vpndiag.protocols.errors import DecodeError, LocalProtocolError
from vpndiag.protocols.ike.constants import HeaderFlag
from vpndiag.protocols.ike.message import HEADER_SIZE, Header, Message
from vpndiag.protocols.ike.payloads import FragmentPayload
from vpndiag.records import record

MAX_PENDING = 4
"""Messages under reassembly at a time; the oldest is forgotten for a fifth one."""
MAX_FRAGMENTS = 64
"""Pieces of one message."""
MAX_MESSAGE = 0xFFFF
"""Bytes of a reassembled message."""
_OVERHEAD = HEADER_SIZE + 8


@record(slots=True)
class _Pending:
    pieces: dict[int, bytes] = field(default_factory=dict)
    size: int = 0
    last: int | None = None


class Reassembler:
    """Collects the fragments of one peer. Memory is bounded by the constants above."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending: OrderedDict[tuple[int, int], _Pending] = OrderedDict()

    def __len__(self) -> int:
        """Messages under reassembly."""
        return len(self._pending)

    def add(self, message: Message) -> bytes | None:
        """One fragment; the whole message when it was the missing piece, else None.

        A fragment ID may stand for one message after the other (strongSwan says 1 always): a piece
        that differs from the one known begins a new message.

        :raises DecodeError: no usable Fragment payload, too many or contradictory pieces, or what
            they make is not one message.
        """
        piece = message.first(FragmentPayload)
        if piece is None:
            raise DecodeError("fragment payload missing", HEADER_SIZE)
        if not 1 <= piece.number <= MAX_FRAGMENTS:
            raise DecodeError(f"fragment number {piece.number}", HEADER_SIZE + 6)
        key = (message.header.message_id, piece.fragment_id)
        pending = self._pending.get(key)
        if pending is not None and pending.pieces.get(piece.number, piece.data) != piece.data:
            pending = None
            del self._pending[key]
        if pending is None:
            while len(self._pending) >= MAX_PENDING:
                self._pending.popitem(last=False)
            pending = self._pending[key] = _Pending()
        if piece.number in pending.pieces:
            return None
        if pending.size + len(piece.data) > MAX_MESSAGE or (
            piece.last and pending.last not in (None, piece.number)
        ):
            del self._pending[key]
            raise DecodeError("fragments do not make one message", HEADER_SIZE)
        pending.pieces[piece.number] = piece.data
        pending.size += len(piece.data)
        if piece.last:
            pending.last = piece.number
        if pending.last is None or any(
            number not in pending.pieces for number in range(1, pending.last + 1)
        ):
            return None
        del self._pending[key]
        whole = b"".join(pending.pieces[number] for number in range(1, pending.last + 1))
        if Header.decode(whole).length != len(whole):
            raise DecodeError("the fragments are not of one message", HEADER_SIZE)
        return whole


def split(data: bytes, header: Header, fragment_id: int, size: int) -> tuple[bytes, ...]:
    """The datagrams that carry the encoded message ``data``, none above ``size`` bytes.

    :param header: the header of the message; cookies, exchange and message id are taken from it.
    :raises LocalProtocolError: the message needs more than :data:`MAX_FRAGMENTS` pieces.
    """
    room = size - _OVERHEAD
    if room < 1 or len(data) > room * MAX_FRAGMENTS:
        raise LocalProtocolError(f"{len(data)} bytes do not fit {MAX_FRAGMENTS} fragments")
    chunks = [data[start : start + room] for start in range(0, len(data), room)]
    outer = replace(header, flags=header.flags & ~HeaderFlag.ENCRYPTION)
    return tuple(
        Message(
            outer, (FragmentPayload(fragment_id, number, number == len(chunks), chunk),)
        ).encode()
        for number, chunk in enumerate(chunks, 1)
    )
