"""IP reassembly with bounds (RFC 791 section 3.2, RFC 8200 section 4.5).

Bytes that arrive twice keep their first value, so an overlapping fragment can change nothing.
What stays incomplete is reported: a lost fragment of a large IKE message is a classic cause of a
failing tunnel."""

from __future__ import annotations

from dataclasses import field

from vpndiag.capture.ip import UDP, Packet, address
from vpndiag.capture.packets import Incomplete
from vpndiag.records import record

#: Nanoseconds of capture time; Linux and Windows give up after 30 and 60 seconds.
TIMEOUT_NS = 60_000_000_000
MAX_PENDING = 512
MAX_BYTES = 16 * 1024 * 1024
#: A fragment of a datagram that is complete already was recorded twice, as at a mirror port.
COPY_NS = 1_000_000_000
_MAX_PIECES = 256
_MAX_SIZE = 65_535

Key = tuple[bytes, bytes, int, int]


@record(slots=True)
class _Pending:
    first_ns: int
    last_ns: int = 0
    frames: list[int] = field(default_factory=list)
    # (start, end, captured bytes); end counts uncaptured bytes too.
    pieces: list[tuple[int, int, bytes]] = field(default_factory=list)
    total: int | None = None
    size: int = 0
    # The first fragment's; in IPv6 the others may not tell the right one.
    protocol: int = 0

    def gaps(self) -> list[tuple[int, int | None]]:
        gaps: list[tuple[int, int | None]] = []
        at = 0
        for start, end, _ in sorted(self.pieces, key=lambda piece: piece[:2]):
            if start > at:
                gaps.append((at, start))
            at = max(at, end)
        if self.total is None:
            gaps.append((at, None))
        elif at < self.total:
            gaps.append((at, self.total))
        return gaps

    def join(self) -> tuple[bytes, int]:
        """(bytes up to the first one not captured, how many are missing from there)."""
        total = self.total or 0
        data, have = bytearray(total), bytearray(total)
        for start, _, piece in reversed(self.pieces):
            stop = min(start + len(piece), total)
            data[start:stop] = piece[: stop - start]
            have[start:stop] = b"\1" * (stop - start)
        known = have.find(0)
        if known < 0:
            return bytes(data), 0
        return bytes(data[:known]), total - known


@record(frozen=True, slots=True)
class Whole:
    """A reassembled IP payload; ``missing`` bytes at its end were not captured."""

    frames: tuple[int, ...]
    protocol: int
    payload: bytes
    missing: int


class Reassembler:
    """Feed it fragments in capture order; it holds MAX_PENDING datagrams and MAX_BYTES at most."""

    def __init__(self) -> None:
        self._pending: dict[Key, _Pending] = {}
        self._done: dict[Key, tuple[int, frozenset[tuple[int, int]]]] = {}
        """When a datagram was complete, and where its pieces were."""
        self._bytes = 0
        self._next_check = 0
        #: Overlaps that were no plain duplicates.
        self.overlaps = 0

    def add(self, frame: int, time_ns: int, packet: Packet, data: bytes) -> Whole | None:
        """Take in a fragment: ``packet`` and the frame's ``data`` it points into."""
        # RFC 8200 leaves the next header out of the identification, RFC 791 has it in.
        key = (
            packet.src,
            packet.dst,
            packet.ident,
            packet.protocol if len(packet.src) == 4 else -1,
        )
        length = packet.end - packet.start + packet.missing
        start, end = packet.offset, packet.offset + length
        pending = self._pending.get(key)
        if pending is None:
            since, pieces = self._done.get(key, (0, ()))
            if (start, end) in pieces and abs(time_ns - since) <= COPY_NS:
                return None
            pending = self._pending[key] = _Pending(time_ns)
        if not packet.offset or not pending.protocol:
            pending.protocol = packet.protocol
        pending.last_ns = time_ns
        if len(pending.frames) < _MAX_PIECES:
            pending.frames.append(frame)
        if end > _MAX_SIZE or (packet.more and length == 0) or len(pending.pieces) >= _MAX_PIECES:
            return None
        for old_start, old_end, _ in pending.pieces:
            if start < old_end and old_start < end:
                if (start, end) == (old_start, old_end):
                    return None
                self.overlaps += 1
        if not packet.more and (pending.total is None or end < pending.total):
            pending.total = end
        piece = data[packet.start : packet.end]
        pending.pieces.append((start, end, piece))
        pending.size += len(piece)
        self._bytes += len(piece)
        if pending.total is not None and not pending.gaps():
            del self._pending[key]
            self._bytes -= pending.size
            self._done.pop(key, None)
            self._done[key] = time_ns, frozenset(piece[:2] for piece in pending.pieces)
            if len(self._done) > MAX_PENDING:
                del self._done[next(iter(self._done))]
            payload, missing = pending.join()
            return Whole(tuple(pending.frames), pending.protocol, payload, missing)
        return None

    def expired(self, now_ns: int) -> list[Incomplete]:
        """Those given up by ``now_ns``, or to stay within bounds. Cheap to call for every
        fragment."""
        out: list[Incomplete] = []
        if now_ns >= self._next_check or now_ns + TIMEOUT_NS < self._next_check:
            self._next_check = now_ns + 1_000_000_000
            old = [k for k, p in self._pending.items() if now_ns - p.first_ns > TIMEOUT_NS]
            out += [self._give_up(key, "timeout") for key in old]
        while len(self._pending) > MAX_PENDING or self._bytes > MAX_BYTES:
            out.append(self._give_up(next(iter(self._pending)), "crowded"))
        return out

    def finish(self) -> list[Incomplete]:
        """The capture ended: all that is still incomplete."""
        return [self._give_up(key, "end") for key in list(self._pending)]

    def _give_up(self, key: Key, why: str) -> Incomplete:
        pending = self._pending.pop(key)
        self._bytes -= pending.size
        src, dst, ident, _ = key
        protocol = pending.protocol
        head = next((piece for start, _, piece in pending.pieces if start == 0), b"")
        sport = dport = None
        if protocol == UDP and len(head) >= 4:
            sport, dport = head[0] << 8 | head[1], head[2] << 8 | head[3]
        return Incomplete(
            address(src),
            address(dst),
            protocol,
            ident,
            tuple(pending.frames),
            pending.first_ns,
            pending.last_ns,
            tuple(pending.gaps()),
            sport,
            dport,
            head,
            why,
        )
