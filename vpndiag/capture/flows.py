"""What ESP traffic shows without keys: per SPI and direction counts, gaps, order, silence,
sizes."""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

#: Packets behind the highest sequence number that can be told duplicate from late.
WINDOW = 1024
_MASK = (1 << WINDOW) - 1
FIRST, LAST, GAPS, SIZES = 8, 4, 16, 64
STRIDE = 64
#: The same packet again within this many nanoseconds was recorded twice: at a mirror port, or on
#: its way in and out of a router. What a network repeats comes later.
COPY_NS = 10_000_000
#: A shorter pause is no silence.
SILENCE_NS = 100_000_000
_RUN = 1024
MAX_FLOWS = 32_768


class Sample(NamedTuple):
    """One packet: frame number, nanoseconds since 1970, bytes of ESP, sequence number."""

    frame: int
    time_ns: int
    size: int
    sequence: int


class Gap(NamedTuple):
    """Sequence numbers ``first`` to ``last`` were not there when the packet of ``frame`` came."""

    frame: int
    time_ns: int
    first: int
    last: int


class Seen(NamedTuple):
    """What numpy has found out about many packets: how many there are of each size, the indices of
    the sequence numbers that do not follow the one before, and the longest pause (the index of the
    packet behind it, nanoseconds), None if that has to be sought."""

    counts: Mapping[int, int]
    breaks: Sequence[int]
    pause: tuple[int, int] | None


class FlowKey(NamedTuple):
    """Addresses as text; ports are 0 for IP protocol 50, otherwise those of the encapsulation."""

    src: str
    sport: int
    dst: str
    dport: int
    spi: int

    @property
    def udp(self) -> bool:
        """Whether this is ESP in UDP (RFC 3948)."""
        return self.sport != 0 or self.dport != 0


@dataclass(frozen=True, slots=True)
class Silence:
    """The longest time without a packet of a flow, between two frames; over SILENCE_NS."""

    from_ns: int
    to_ns: int
    from_frame: int
    to_frame: int

    @property
    def seconds(self) -> float:
        return (self.to_ns - self.from_ns) / 1e9


class EspFlow:
    """Counters of one SPI in one direction.

    ``bytes`` and sizes are of ESP (SPI to ICV). ``missing`` counts sequence numbers that never came
    (late ones are taken off again), ``gaps`` the times that numbers were skipped, with the first
    GAPS in ``gap_samples``; ``duplicates`` came twice (``copies`` of them within COPY_NS),
    ``late`` out of order, ``stale`` more than WINDOW behind (late, duplicate, or a sender that
    started anew), ``misfiled`` of both only in the file, by their time stamps; ``behind`` by how
    many numbers the others were late at most; ``repeated`` and ``overtaken`` are the frames of the
    first GAPS duplicates and late ones; ``sizes`` counts up to SIZES distinct sizes,
    ``other_sizes`` the rest; ``short`` packets had no sequence number captured; ``fragmented`` came
    in IP fragments.
    """

    __slots__ = (
        "_before",
        "_longest",
        "_window",
        "behind",
        "bytes",
        "copies",
        "duplicates",
        "first",
        "fragmented",
        "gap_samples",
        "gaps",
        "highest",
        "key",
        "largest_gap",
        "last",
        "late",
        "lowest",
        "misfiled",
        "missing",
        "other_sizes",
        "overtaken",
        "packets",
        "repeated",
        "short",
        "silence",
        "sizes",
        "stale",
    )

    def __init__(self, key: FlowKey) -> None:
        self.key = key
        self.packets = 0
        self.bytes = 0
        self.first: list[Sample] = []
        self.last: deque[Sample] = deque(maxlen=LAST)
        self.lowest = 0
        self.highest = 0
        self._window = 0
        self._longest = SILENCE_NS
        self._before = 0  # time of the packet before those that are being counted
        self.missing = 0
        self.gaps = 0
        self.largest_gap = 0
        self.gap_samples: list[Gap] = []
        self.duplicates = 0
        self.copies = 0
        self.late = 0
        self.stale = 0
        self.misfiled = 0
        self.behind = 0
        self.repeated: list[int] = []
        self.overtaken: list[int] = []
        self.short = 0
        self.fragmented = 0
        self.sizes: Counter[int] = Counter()
        self.other_sizes = 0
        self.silence: Silence | None = None

    @property
    def first_ns(self) -> int:
        """Time of the first packet."""
        return self.first[0].time_ns

    @property
    def last_ns(self) -> int:
        """Time of the last packet."""
        return self.last[-1].time_ns

    def add(self, sample: Sample, *, whole: bool = True) -> None:
        """Count one packet; ``whole`` False: its sequence number was not captured."""
        self._silent(sample)
        self._before = self.last[-1].time_ns if self.last else sample.time_ns
        self._sample(sample)
        self.packets += 1
        self.bytes += sample.size
        self._sized(sample.size, 1)
        if whole:
            self._sequence(sample.frame, lambda _: sample.time_ns, 0, sample.sequence)
        else:
            self.short += 1

    def add_many(
        self,
        frame_at: Callable[[int], int],
        time_at: Callable[[int], int],
        sizes: Sequence[int],
        sequences: Sequence[int],
        headers: int = 0,
        seen: Seen | None = None,
    ) -> None:
        """Count packets in capture order, at a fraction of the time of as many :meth:`add`.

        The columns are of one length and not empty; ``frame_at(index)`` gives the frame number,
        ``time_at(index)`` nanoseconds;
        ``headers`` is taken off each size. Without ``seen``, ``sequences`` are an array.

        The one difference: a silence that is not seen when comparing the times of a stretch of
        STRIDE packets, because the clock went back within it, is not found, if it has to be sought.
        """
        count = len(sizes)
        counts = seen.counts if seen is not None else None
        if counts is None or len(self.sizes) + len(counts) > SIZES:
            # In the order they came: the first sizes get a counter of their own.
            counts = Counter(sizes)
        for size, packets in counts.items():
            size -= headers
            self.bytes += size * packets
            self._sized(size, packets)
        self.packets += count
        self._silences(count, frame_at, time_at, seen.pause if seen is not None else None)
        self._before = self.last[-1].time_ns if self.last else time_at(0)

        def sample(at: int) -> Sample:
            return Sample(frame_at(at), time_at(at), sizes[at] - headers, sequences[at])

        self.first.extend(map(sample, range(min(count, FIRST - len(self.first)))))
        self.last.extend(map(sample, range(max(0, count - LAST), count)))
        if seen is not None:
            self._between(frame_at, time_at, sequences, seen.breaks)
        elif isinstance(sequences, array):
            self._runs(frame_at, time_at, sequences)
        if count > 1:
            self._before = time_at(count - 2)

    def _between(
        self,
        frame_at: Callable[[int], int],
        time_at: Callable[[int], int],
        sequences: Sequence[int],
        breaks: Sequence[int],
    ) -> None:
        """Sequence numbers, all up to the next break at once."""
        at = 0
        for end in (*breaks, len(sequences)):
            while at < end:
                sequence = sequences[at]
                self._sequence(frame_at(at), time_at, at, sequence)
                at += 1
                if sequence == self.highest:
                    self._advance(end - at)
                    at = end

    def _runs(
        self, frame_at: Callable[[int], int], time_at: Callable[[int], int], sequences: array[int]
    ) -> None:
        """Sequence numbers, stretches without a gap at once."""
        count, start = len(sequences), sequences[0]
        end = max(sequences) + 1
        # What the numbers would be without gaps; a wild jump makes it too long to be of use.
        straight = array("I", range(start, end if 0 < end - start <= 4 * count else start))
        at = 0
        while at < count:
            sequence = sequences[at]
            self._sequence(frame_at(at), time_at, at, sequence)
            at += 1
            ref, step = sequence + 1 - start, _RUN
            if sequence != self.highest or not straight or ref < 0:
                continue
            while step and at < count:
                size = min(step, count - at)
                if sequences[at : at + size] == straight[ref : ref + size]:
                    at += size
                    ref += size
                    self._advance(size)
                else:
                    step >>= 2

    def _advance(self, count: int) -> None:
        """The next ``count`` numbers came in order."""
        self.highest += count
        ones = (1 << min(count, WINDOW)) - 1
        self._window = _MASK if count >= WINDOW else (self._window << count | ones) & _MASK

    def _sample(self, sample: Sample) -> None:
        if len(self.first) < FIRST:
            self.first.append(sample)
        self.last.append(sample)

    def _sized(self, size: int, count: int) -> None:
        if size in self.sizes or len(self.sizes) < SIZES:
            self.sizes[size] += count
        else:
            self.other_sizes += count

    def _silent(self, sample: Sample) -> None:
        if self.last:
            before = self.last[-1]
            if sample.time_ns - before.time_ns > self._longest:
                self._longest = sample.time_ns - before.time_ns
                self.silence = Silence(before.time_ns, sample.time_ns, before.frame, sample.frame)

    def _silences(
        self,
        count: int,
        frame_at: Callable[[int], int],
        time_at: Callable[[int], int],
        pause: tuple[int, int] | None,
    ) -> None:
        """Called before the samples are taken, so ``last`` is of the packets before."""
        self._silent(Sample(frame_at(0), time_at(0), 0, 0))
        if pause is not None:
            after, length = pause
            if length > self._longest:
                self._search(frame_at, time_at, after - 1, after)
            return
        end = count - 1
        at, before = 0, time_at(0)
        while at < end:
            after = min(at + STRIDE, end)
            now = time_at(after)
            if now - before > self._longest:
                self._search(frame_at, time_at, at, after)
            at, before = after, now

    def _search(
        self,
        frame_at: Callable[[int], int],
        time_at: Callable[[int], int],
        low: int,
        high: int,
    ) -> None:
        """Find the longest silence between two packets further apart than the longest so far."""
        before = time_at(low)
        for at in range(low + 1, high + 1):
            now = time_at(at)
            if now - before > self._longest:
                self._longest = now - before
                self.silence = Silence(before, now, frame_at(at - 1), frame_at(at))
            before = now

    def _sequence(
        self, frame: int, time_at: Callable[[int], int], index: int, sequence: int
    ) -> None:
        highest = self.highest
        if not self._window:
            self.lowest = self.highest = sequence
            self._window = 1
            return
        if sequence > highest:
            ahead = sequence - highest
            if ahead > 1:
                self.gaps += 1
                self.missing += ahead - 1
                self.largest_gap = max(self.largest_gap, ahead - 1)
                if len(self.gap_samples) < GAPS:
                    self.gap_samples.append(Gap(frame, time_at(index), highest + 1, sequence - 1))
            self.highest = sequence
            self._window = 1 if ahead >= WINDOW else (self._window << ahead | 1) & _MASK
            return
        behind = highest - sequence
        after = time_at(index) - (time_at(index - 1) if index else self._before)
        if behind < WINDOW and self._window >> behind & 1:
            self.duplicates += 1
            self.copies += after <= COPY_NS
            if len(self.repeated) < GAPS:
                self.repeated.append(frame)
            return
        if after < 0:
            self.misfiled += 1
        else:
            self.behind = max(self.behind, behind)
            if len(self.overtaken) < GAPS:
                self.overtaken.append(frame)
        if behind >= WINDOW:
            self.stale += 1
            return
        self._window |= 1 << behind
        self.late += 1
        if sequence < self.lowest:
            self.lowest = sequence
        elif self.missing:
            self.missing -= 1


class EspFlows:
    """All ESP flows of a capture, MAX_FLOWS at most; ``dropped`` counts packets of flows beyond."""

    def __init__(self) -> None:
        self._flows: dict[tuple[bytes, int], EspFlow] = {}
        self.dropped = 0

    def __iter__(self) -> Iterator[EspFlow]:
        return iter(self._flows.values())

    def __len__(self) -> int:
        return len(self._flows)

    def get(self, ends: bytes, spi: int) -> EspFlow | None:
        """The flow between packed ``ends`` (addresses, then ports) with this SPI, if known."""
        return self._flows.get((ends, spi))

    def create(self, ends: bytes, spi: int, key: FlowKey) -> EspFlow | None:
        """A new flow; None (and counted) when there are too many already."""
        if len(self._flows) >= MAX_FLOWS:
            self.dropped += 1
            return None
        flow = self._flows[ends, spi] = EspFlow(key)
        return flow
