"""Many chains of records at a time find what the plain walk finds, whatever the bytes are."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.pcap import KUZNETZOV, MICRO, NANO, Order, header, record
from vpndiag.capture import lockstep
from vpndiag.capture.files import open_capture
from vpndiag.capture.frame import MAX_FRAME
from vpndiag.capture.lockstep import Lockstep
from vpndiag.capture.pcap import PcapReader

np = pytest.importorskip("numpy")

NOW = 1_700_000_000
#: Bytes of a row behind a record's start that must be there.
WIDTH = 72


def pcap(payloads: list[bytes], order: Order = "<", magic: int = MICRO, now: int = NOW) -> bytes:
    out = [header(order=order, magic=magic)]
    for index, data in enumerate(payloads):
        out.append(record(data, now + index // 9, index, order=order, magic=magic))
    return b"".join(out)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + size + body + size


def section(order: str = "<") -> bytes:
    head = block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)
    return head + block(1, struct.pack(order + "HHI", 101, 0, 0), order)


def packet(index: int, data: bytes, order: str = "<") -> bytes:
    head = struct.pack(order + "IIIII", 0, 0x5F0, index, len(data), len(data))
    return block(6, head + data, order)


def pcapng(payloads: list[bytes], order: str = "<") -> bytes:
    packets = (packet(index, data, order) for index, data in enumerate(payloads))
    return section(order) + b"".join(packets)


class Walk:
    """Both walks through a file that is one window."""

    def __init__(self, data: bytes) -> None:
        self.reader = open_capture(BytesIO(data), chunk=max(4096, len(data))).reader
        if not isinstance(self.reader, PcapReader):
            self.reader.next()
        window = self.reader.window
        while window.refill():
            pass
        self.lockstep = Lockstep(np, self.reader)
        self.off, self.limit = window.off, window.end - WIDTH
        self.sought = 0

    def plain(self) -> tuple[list[int], int]:
        return self.lockstep._plain(self.off, self.limit, ())

    def chains(self) -> tuple[list[int], int]:
        plainly = self.lockstep._plain

        def counted(*given: Any) -> tuple[list[int], int]:
            found, stop = plainly(*given)
            self.sought += len(found)
            return found, stop

        self.lockstep._plain = counted  # type: ignore[method-assign]
        found, stop = self.lockstep.walk(self.off, self.limit)
        return found.tolist(), stop

    def sound(self, found: list[int]) -> tuple[list[int], bool]:
        """As far as the records' lengths are possible (nobody looks at what is behind), and whether
        they all are."""
        window, order = self.reader.window, self.reader.order
        for count, off in enumerate(found):
            kind, size, length = struct.unpack_from(order + "III", window.buf, off)
            if isinstance(self.reader, PcapReader):
                broken = length > MAX_FRAME
            else:
                broken = size < 12 or size % 4 or (kind == 6 and size > MAX_FRAME + 32)
            if broken:
                return found[: count + 1], False
        return found, True

    def agree(self) -> None:
        (plain, stop), (found, other) = self.plain(), self.chains()
        assert self.sound(found) == self.sound(plain)
        if self.sound(plain)[1]:
            # Beyond the window it only matters that it is beyond.
            end = self.reader.window.end
            assert min(other, end + 1) == min(stop, end + 1)


@pytest.fixture(autouse=True)
def many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockstep, "PART", 512)
    monkeypatch.setattr(lockstep, "FEW", 2)


def random_payloads(seed: object, count: int = 600) -> list[bytes]:
    rng = random.Random(str(seed))
    return [rng.randbytes(rng.choice((0, 1, 40, 60, 60, 99, 140, 700))) for _ in range(count)]


FORMS: dict[str, Callable[[list[bytes]], bytes]] = {
    "pcap": pcap,
    "pcap, big-endian": lambda p: pcap(p, ">"),
    "nanoseconds": lambda p: pcap(p, "<", NANO),
    "Kuznetzov": lambda p: pcap(p, ">", KUZNETZOV),
    "no clock": lambda p: pcap(p, now=0),
    "pcapng": pcapng,
    "pcapng, big-endian": lambda p: pcapng(p, ">"),
}


@pytest.mark.parametrize("form", FORMS)
def test_ordinary_captures_are_walked_by_chains(form: str) -> None:
    walk = Walk(FORMS[form](random_payloads(form)))
    walk.agree()
    if form != "no clock":
        assert walk.sought < len(walk.plain()[0]) // 4


def test_long_and_short_records_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts with many times the records of others are finished by the plain walk."""
    monkeypatch.setattr(lockstep, "PART", 8192)
    long, short = [bytes(1000)] * 90, [b""] * 900
    for payloads in (long + short, short + long, long + short + long, long + short * 3 + long):
        for data in (pcap(payloads), pcapng(payloads)):
            Walk(data).agree()


@pytest.mark.parametrize("form", FORMS)
def test_payloads_that_are_captures(form: str) -> None:
    """Each guess within a payload is a sound record of another file."""
    inner = FORMS[form](random_payloads("inner", 40))
    payloads = [inner[24 + shift : 2000] for shift in (0, 0, 4, 1, 7)] * 40
    walk = Walk(FORMS[form](payloads))
    walk.agree()


@pytest.mark.parametrize("order", "<>")
def test_endless_zeros_and_types(order: str) -> None:
    for filler in (b"\0" * 3000, struct.pack(order + "II", 6, 32) * 300, b"\x65\x53" * 1500):
        Walk(pcap([filler] * 30, order)).agree()
        Walk(pcapng([filler] * 30, order)).agree()


@pytest.mark.parametrize("order", "<>")
def test_blocks_of_other_kinds_between(order: str) -> None:
    rng = random.Random(order)
    data = section(order)
    for index, payload in enumerate(random_payloads(order)):
        data += packet(index, payload, order)
        if rng.random() < 0.1:
            kind = rng.choice((2, 3, 4, 5, 1, 0x0A0D0D0A, 0x40000BAD))
            data += block(kind, rng.randbytes(4 * rng.randrange(1, 30)), order)
    Walk(data).agree()


@pytest.mark.parametrize("form", FORMS)
def test_a_length_of_nothing_or_too_much(form: str) -> None:
    sound = FORMS[form](random_payloads("damage"))
    at = 8 if isinstance(Walk(sound).reader, PcapReader) else 4
    offsets = Walk(sound).plain()[0]
    base = Walk(sound).reader.window.base
    for bad in (0, 4, 8, 13, 100_000, MAX_FRAME + 500, 0x7FFFFFFF, 0xFFFFFFF0, 0xFFFFFFFF):
        for place in (1, len(offsets) // 2, len(offsets) - 2):
            data = bytearray(sound)
            order = Walk(sound).reader.order
            struct.pack_into(order + "I", data, base + offsets[place] + at, bad)
            Walk(bytes(data)).agree()


@pytest.mark.parametrize("form", FORMS)
def test_cut_anywhere(form: str) -> None:
    data = FORMS[form](random_payloads("cut", 60))
    rng = random.Random(form)
    for _ in range(60):
        Walk(data[: rng.randrange(400, len(data))]).agree()


FAKE = st.builds(
    lambda order, form, length, more: (
        struct.pack(order + "IIII", NOW, 1, length, length)
        if form
        else struct.pack(order + "II", 6, length) + bytes(more)
    ),
    st.sampled_from("<>"),
    st.booleans(),
    st.sampled_from((0, 4, 16, 32, 36, 60, 100, 400, 2000, MAX_FRAME, 1 << 31)),
    st.integers(0, 30),
)
PIECE = st.one_of(FAKE, st.binary(max_size=40), st.just(b"\x65\x53\0\0"), st.just(bytes(200)))
PAYLOAD = st.lists(PIECE, max_size=12).map(b"".join)


@settings(max_examples=60, deadline=None)
@given(
    form=st.sampled_from(sorted(FORMS)),
    payloads=st.lists(PAYLOAD, min_size=12, max_size=50),
    damage=st.lists(
        st.tuples(st.floats(0.05, 1, exclude_max=True), st.integers(0, 255)), max_size=4
    ),
    part=st.sampled_from((64, 200, 512, 3000)),
)
def test_hostile_payloads(
    form: str, payloads: list[bytes], damage: list[tuple[float, int]], part: int
) -> None:
    data = bytearray(FORMS[form](payloads))
    for place, value in damage:
        at = int(place * len(data))
        if at >= 80:
            data[at] = value
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lockstep, "PART", part)
        walk = Walk(bytes(data))
        if walk.off < walk.limit:
            walk.agree()
