"""Bytes in, at constant memory: decompression with limits."""

from __future__ import annotations

import bz2
import importlib
import lzma
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

from vpndiag.capture.errors import CaptureError
from vpndiag.capture.window import CHUNK

#: A stream that grows more than this on decompression, beyond BOMB_FREE bytes, is no capture.
BOMB_RATIO = 250
BOMB_FREE = 64 * 1024 * 1024
_LZMA_MEMORY = 128 * 1024 * 1024


class PlainSource:
    """An uncompressed file; ``head`` are bytes already taken from it to look at the magic."""

    def __init__(self, file: BinaryIO, head: bytes) -> None:
        self._file = file
        self._head = head
        self._readinto: Callable[[memoryview], int | None] | None = getattr(file, "readinto", None)
        self.consumed = 0

    def readinto(self, target: memoryview) -> int:
        if self._head:
            size = min(len(self._head), len(target))
            target[:size] = self._head[:size]
            self._head = self._head[size:]
        elif self._readinto is not None:
            size = self._readinto(target) or 0
        else:
            data = self._file.read(len(target))
            size = len(data)
            target[:size] = data
        self.consumed += size
        return size


class _Decompressor(Protocol):
    """What zlib, bz2, lzma and zstd objects have in common, after :class:`_Zlib`."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


class _Zlib:
    """zlib's object in the shape of bz2's."""

    def __init__(self) -> None:
        self._z = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._z.eof

    @property
    def needs_input(self) -> bool:
        return not self._z.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._z.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._z.decompress(self._z.unconsumed_tail + data, max_length)


class _Zstandard:
    """The ``zstandard`` package in the shape of bz2's. Its decompressobj has no output limit, so
    the input is fed in pieces that keep a block's output small."""

    STEP = 4096

    def __init__(self, module: Any) -> None:
        self._z = module.ZstdDecompressor(max_window_size=_LZMA_MEMORY).decompressobj()
        self._pending = b""

    @property
    def eof(self) -> bool:
        return bool(self._z.eof)

    @property
    def needs_input(self) -> bool:
        return not self._pending

    @property
    def unused_data(self) -> bytes:
        return bytes(self._z.unused_data) + self._pending

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        self._pending += data
        piece, self._pending = self._pending[: self.STEP], self._pending[self.STEP :]
        return bytes(self._z.decompress(piece)) if piece else b""


def _zstd() -> Callable[[], _Decompressor] | None:
    for name in ("compression.zstd", "backports.zstd"):
        try:
            factory: Callable[[], _Decompressor] = importlib.import_module(name).ZstdDecompressor
            return factory
        except ImportError:
            continue
    try:
        module = importlib.import_module("zstandard")
    except ImportError:
        return None
    return lambda: _Zstandard(module)


def _decompressor(name: str) -> Callable[[], _Decompressor] | None:
    if name == "gzip":
        return _Zlib
    if name == "bzip2":
        return bz2.BZ2Decompressor
    if name == "xz":
        return lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)
    if name == "zstd":
        return _zstd()
    return None


_MAGICS = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"PK\x03\x04", "zip"),
)


def compression_of(head: bytes) -> str | None:
    """Name of the compression that the first bytes of a file show, or None."""
    for magic, name in _MAGICS:
        if head.startswith(magic):
            return name
    return None


class CompressedSource:
    """A decompressed stream. A damaged or cut-off one simply ends, and ``damage`` says why: what
    was decompressed until then is still worth reading.

    :raises CaptureError: on construction, when this compression cannot be read here.
    """

    def __init__(self, file: BinaryIO, head: bytes, name: str, where: str) -> None:
        factory = _decompressor(name)
        if factory is None:
            hint = "pip install zstandard, or " if name == "zstd" else ""
            raise CaptureError(
                f"{name}-compressed files are not read", where, f"{hint}decompress it first"
            )
        self._factory = factory
        self._file = file
        self._head = head
        self._z = factory()
        self._out = b""
        self._produced = 0
        self._done = False
        self.consumed = 0
        self.damage: str | None = None

    def _more(self) -> bytes:
        """The next output, b"" at the end."""
        while not self._done:
            if self._z.eof:
                rest = self._z.unused_data or self._input()
                if not rest.strip(b"\0"):
                    self._done = True
                    break
                self._z = self._factory()
                feed = rest
            elif self._z.needs_input:
                feed = self._input()
                if not feed:
                    self.damage = "the compressed data ends early"
                    self._done = True
                    break
            else:
                feed = b""
            try:
                out = self._z.decompress(feed, CHUNK)
            except (
                zlib.error,
                OSError,
                EOFError,
                ValueError,
                lzma.LZMAError,
                MemoryError,
            ) as error:
                out = self._failed(error)
            except Exception as error:
                # Each zstd binding has an error class of its own.
                if "zstd" not in type(error).__name__.lower():
                    raise
                out = self._failed(error)
            self._produced += len(out)
            if self._produced > BOMB_FREE and self._produced > BOMB_RATIO * self.consumed:
                self.damage = "it grows on decompression as no real capture does; stopped"
                self._done = True
                return b""
            if out:
                return out
        return b""

    def _failed(self, error: Exception) -> bytes:
        self.damage = f"the compressed data is damaged ({type(error).__name__})"
        self._done = True
        return b""

    def _input(self) -> bytes:
        data = self._head or self._file.read(65536)
        self._head = b""
        self.consumed += len(data)
        return data

    def readinto(self, target: memoryview) -> int:
        if not self._out:
            self._out = self._more()
        size = min(len(self._out), len(target))
        target[:size] = self._out[:size]
        self._out = self._out[size:]
        return size
