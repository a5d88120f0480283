"""The window shows a stream's bytes in order, whatever the pieces they come in."""

from __future__ import annotations

import ctypes
import random
import threading
from io import BytesIO

import pytest

from vpndiag.capture import window
from vpndiag.capture.window import ROOM, Window

PAGE = 4096
CHUNK = 2 * PAGE


class Pieces:
    """A source that gives at most ``most`` bytes at a time, and then perhaps fails."""

    def __init__(self, data: bytes, most: int = 1 << 30, fails: bool = False) -> None:
        self._file = BytesIO(data)
        self._most = most
        self._fails = fails
        self.consumed = 0
        self.addresses: list[tuple[int, int]] = []
        self.threads: set[int] = set()

    def readinto(self, target: memoryview) -> int:
        address = ctypes.addressof(ctypes.c_char.from_buffer(target))
        self.addresses.append((address, self.consumed))
        self.threads.add(threading.get_ident())
        got = self._file.readinto(target[: self._most])
        if self._fails and not got:
            raise OSError(5, "Input/output error")
        self.consumed += got
        return got


def drain(shown: Window, rng: random.Random, longest: int) -> bytes:
    """All bytes, taken in random sizes as a parser does; some skipped bytes as zeros."""
    out = bytearray()
    while True:
        size = rng.randrange(1, longest)
        assert shown.position == len(out)
        if rng.random() < 0.1:
            shown.off += size
            while shown.off > shown.end and shown.refill():
                pass
            out += bytes(size - max(0, shown.off - shown.end))
            if shown.off > shown.end:
                return bytes(out)
            continue
        if not shown.need(size):
            return bytes(out + shown.view[shown.off : shown.end])
        out += shown.view[shown.off : shown.off + size]
        shown.off += size


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("most", [1 << 30, 5000, 7])
@pytest.mark.parametrize("longest", [30, 3000, 100_000])
def test_all_bytes_in_order(ahead: bool, most: int, longest: int) -> None:
    rng = random.Random(longest + most)
    data = rng.randbytes(20_000 if most == 7 else 400_000)
    shown = Window(Pieces(data, most), chunk=CHUNK, ahead=ahead)
    got = drain(shown, rng, longest)
    shown.close()
    assert len(got) == len(data)
    assert all(mine in (0, theirs) for mine, theirs in zip(got, data, strict=True))
    assert got.count(0) < len(data) // 2


@pytest.mark.parametrize("ahead", [False, True])
def test_reads_where_copying_is_quick(ahead: bool) -> None:
    """Addresses and offsets in the file have the same remainder by the page size."""
    source = Pieces(bytes(50 * PAGE + 100))
    shown = Window(source, chunk=CHUNK, ahead=ahead)
    drain(shown, random.Random(1), 1000)
    shown.close()
    assert len(source.addresses) > 20
    assert {(address - offset) % PAGE for address, offset in source.addresses} == {0}


def test_a_record_longer_than_what_may_be_left_over() -> None:
    shown = Window(Pieces(bytes(3 * ROOM)), chunk=CHUNK)
    assert shown.need(ROOM)
    assert not shown.need(ROOM + 2 * CHUNK)


@pytest.mark.parametrize("chunks", [0, 1, 2, 3, 8])
def test_an_error_is_raised_where_the_bytes_are_missed(chunks: int) -> None:
    shown = Window(Pieces(bytes(chunks * CHUNK), fails=True), chunk=CHUNK, ahead=True)
    for _ in range(chunks):
        assert shown.need(CHUNK)
        shown.off += CHUNK
    with pytest.raises(OSError, match="Input/output error"):
        shown.need(1)
    shown.close()


def test_one_piece_ahead_and_no_thread_for_the_beginning() -> None:
    before = threading.active_count()
    source = Pieces(bytes(10 * CHUNK))
    shown = Window(source, chunk=CHUNK, ahead=True)
    assert shown.need(CHUNK)
    assert source.threads == {threading.get_ident()}
    for _ in range(5):
        shown.off = shown.end
        assert shown.need(CHUNK)
    assert len(source.threads) == 2
    shown.close()
    assert source.consumed <= 7 * CHUNK
    assert threading.active_count() == before
    assert not shown.refill()


def test_closing_waits_for_what_is_being_read() -> None:
    """The file may be closed afterwards, and its number be another file's."""
    begun, go = threading.Event(), threading.Event()

    class Slow(Pieces):
        def readinto(self, target: memoryview) -> int:
            if threading.current_thread() is not threading.main_thread():
                begun.set()
                go.wait(10)
            return super().readinto(target)

    source = Slow(bytes(10 * CHUNK))
    shown = Window(source, chunk=CHUNK, ahead=True)
    assert shown.need(CHUNK)
    shown.off = shown.end
    assert shown.need(CHUNK)
    assert begun.wait(10)
    closing = threading.Thread(target=shown.close)
    closing.start()
    assert source.consumed == 2 * CHUNK
    assert closing.is_alive()
    go.set()
    closing.join(10)
    assert source.consumed == 3 * CHUNK


def test_behind_the_end_nothing_looks_like_data() -> None:
    shown = Window(Pieces(b"\xff" * (CHUNK + 10)), chunk=CHUNK)
    shown.need(CHUNK)
    shown.off = shown.end - 3
    assert not shown.need(20)
    assert bytes(shown.view[shown.off : shown.end + window.PAD]) == b"\xff" * 13 + bytes(window.PAD)
