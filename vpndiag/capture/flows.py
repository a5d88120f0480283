"""What ESP traffic shows without keys: per SPI and direction counts, gaps, order, silence,
sizes."""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

from vpndiag.capture.flow_values import FlowKey, Gap, Sample, Seen, Silence

#: Packets behind the highest sequence number that can be told duplicate from late.
WINDOW = 1024
_MASK = (1 << WINDOW) - 1
FIRST, LAST, GAPS, SIZES = 8, 4, 16, 64
EVERY_SIZE = 16_384
"""Of a flow that is joined to another, more than any has: multiples of four."""
STRIDE = 64
#: The same packet again within this many nanoseconds was recorded twice: at a mirror port, or on
#: its way in and out of a router. What a network repeats comes later.
COPY_NS = 10_000_000
#: A shorter pause is no silence.
SILENCE_NS = 100_000_000
_RUN = 1024


class EspFlow:
    """Counters of one SPI in one direction.

    ``bytes`` and sizes are of ESP (SPI to ICV). ``missing`` counts sequence numbers that never came
    (late ones are taken off again), ``gaps`` the times that numbers were skipped, with the first
    GAPS in ``gap_samples``; ``duplicates`` came twice (``copies`` of them within COPY_NS),
    ``late`` out of order, ``stale`` more than WINDOW behind (late, duplicate, or a sender that
    started anew), ``misfiled`` of both only in the file, by their time stamps; ``behind`` by how
    many numbers the others were late at most; ``repeated`` and ``overtaken`` are the frames of the
    first GAPS duplicates and late ones; ``sizes`` counts up to SIZES distinct sizes,
    ``other_sizes`` the rest; ``short`` packets had no sequence number captured.
    """

    __slots__ = (
        "_before",
        "_longest",
        "_most_sizes",
        "_window",
        "behind",
        "bytes",
        "copies",
        "duplicates",
        "first",
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

    def __init__(self, key: FlowKey, every_size: bool = False) -> None:
        """``every_size``: count each size apart, so that :meth:`append` can take it over."""
        self.key = key
        self._most_sizes = EVERY_SIZE if every_size else SIZES
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
        if counts is None or self._order_matters(counts, headers):
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
        if size in self.sizes or len(self.sizes) < self._most_sizes:
            self.sizes[size] += count
        else:
            self.other_sizes += count

    def _order_matters(self, counts: Mapping[int, int], headers: int) -> bool:
        """Whether these sizes must be counted in the order they came."""
        if self._most_sizes == SIZES:
            return len(self.sizes) + len(counts) > SIZES
        # There may be no room for them in the flow that this one is joined to.
        return any(size - headers not in self.sizes for size in counts)

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

    def follows(self, before: EspFlow) -> bool:
        """Whether this flow, counted from nothing in the packets behind those of ``before``, can be
        joined to it: no number of this one is from before or among the last of that one."""
        if not self._window or not before._window:
            return not self.other_sizes
        return not (self.short or self.other_sizes) and (
            before.highest < self.lowest == self.first[0].sequence
        )

    def append(self, later: EspFlow, frames: int) -> None:
        """Take over a flow that follows (:meth:`follows`), its frames numbered on by ``frames``: as
        if all its packets had been counted here."""
        moved = [s._replace(frame=s.frame + frames) for s in later.first]
        self._silent(moved[0])
        quiet = later.silence
        if quiet is not None and quiet.to_ns - quiet.from_ns > self._longest:
            self._longest = quiet.to_ns - quiet.from_ns
            ends = quiet.from_frame + frames, quiet.to_frame + frames
            self.silence = Silence(quiet.from_ns, quiet.to_ns, *ends)
        self.first.extend(moved[: max(0, FIRST - len(self.first))])
        self.last.extend(s._replace(frame=s.frame + frames) for s in later.last)
        for size, packets in later.sizes.items():
            self._sized(size, packets)
        if later._window:
            self._sequences_of(later, moved[0], frames)
        for name in ("packets", "bytes", "missing", "gaps", "duplicates", "copies", "late", "stale",
                     "misfiled", "short"):  # fmt: skip
            setattr(self, name, getattr(self, name) + getattr(later, name))
        self.behind = max(self.behind, later.behind)
        for mine, theirs in (
            (self.repeated, later.repeated),
            (self.overtaken, later.overtaken),
        ):
            mine += [frame + frames for frame in theirs[: GAPS - len(mine)]]

    def _sequences_of(self, later: EspFlow, first: Sample, frames: int) -> None:
        """Gaps and the highest number of one that follows, ``first`` being its first packet."""
        if self._window:
            self._sequence(first.frame, lambda _: first.time_ns, 0, first.sequence)
        else:
            self.lowest = later.lowest
        room = GAPS - len(self.gap_samples)
        self.gap_samples += [g._replace(frame=g.frame + frames) for g in later.gap_samples[:room]]
        self.largest_gap = max(self.largest_gap, later.largest_gap)
        reach = later.highest - later.lowest
        if reach >= WINDOW or not self._window:
            self._window = later._window
        else:
            self._window = (self._window << later.highest - self.highest | later._window) & _MASK
        self.highest = later.highest
