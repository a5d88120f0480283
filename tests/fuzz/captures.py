"""Captures, damaged: every one must give a report or a clean error, in bounded time.

    python -m tests.fuzz.captures DIRECTORY [ROUNDS] [SEED]

Each round takes one capture of the directory (searched in depth) and truncates it, flips bits or
bytes, repeats or removes a stretch, then analyzes it, with keys when some lie beside it.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from vpndiag.capture.errors import CaptureError
from vpndiag.capture.keys import KeyFileError, Keys, read_keys
from vpndiag.cli.analysis import analyze
from vpndiag.report.document import to_json

SUFFIXES = (".pcap", ".pcapng", ".cap")
SECONDS = 20.0
"""More than this for one small file is a hang."""


def captures(directory: Path) -> list[Path]:
    return sorted(p for p in directory.rglob("*") if p.suffix in SUFFIXES and p.is_file())


def keys_beside(capture: Path) -> Keys | None:
    try:
        return read_keys(capture.parent) if (capture.parent / "esp_sa").is_file() else None
    except KeyFileError:
        return None


def damaged(data: bytes, draw: random.Random) -> bytes:
    """``data`` with one to a few hundred changes."""
    out = bytearray(data)
    how = draw.randrange(6)
    if how == 0:
        del out[draw.randrange(len(out) + 1) :]
    elif how == 1:
        for _ in range(draw.choice((1, 3, 30, 300))):
            out[draw.randrange(len(out))] ^= 1 << draw.randrange(8)
    elif how == 2:
        for _ in range(draw.choice((1, 5, 50))):
            out[draw.randrange(len(out))] = draw.choice((0, 1, 0x7F, 0x80, 0xFF))
    elif how == 3:
        start = draw.randrange(len(out))
        del out[start : start + draw.randrange(1, 200)]
    elif how == 4:
        start = draw.randrange(len(out))
        out[start:start] = out[start : start + draw.randrange(1, 400)]
    else:
        # Behind the headers of the file only, so that the packets are still read.
        for _ in range(draw.choice((10, 100))):
            if len(out) > 200:
                out[draw.randrange(150, len(out))] = draw.randrange(256)
    return bytes(out)


def once(data: bytes, keys: Keys | None, place: Path) -> str:
    """The outcome of analyzing these bytes: a verdict's, or ``error``.

    :raises AssertionError: it took too long.
    """
    place.write_bytes(data)
    began = time.process_time()  # of this process: how busy the machine is does not count
    try:
        report = analyze([place], keys)
        outcome = report.verdict.outcome
        to_json(report)
    except CaptureError as error:
        assert "\n" not in str(error)
        outcome = "error"
    seconds = time.process_time() - began
    assert seconds < SECONDS, f"took {seconds:.1f} s"
    return outcome


def rounds(
    files: list[Path], count: int, seed: int, place: Path
) -> Iterator[tuple[Path, int, str]]:
    """Damage and analyze; yields the file, the seed that damages it so, and the outcome."""
    known: dict[Path, tuple[bytes, Keys | None]] = {}
    for n in range(count):
        draw = random.Random(seed * 1_000_003 + n)
        path = files[n % len(files)]
        if path not in known:
            known[path] = (path.read_bytes(), keys_beside(path))
        data, keys = known[path]
        if not data:
            continue
        try:
            yield path, n, once(damaged(data, draw), keys if n % 2 else None, place)
        except Exception as error:
            error.add_note(f"{path.name}, round {n}, seed {seed}")
            raise


def main() -> None:
    directory = Path(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 5_000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    outcomes: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _, _, outcome in rounds(captures(directory), count, seed, Path(folder) / "damaged"):
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
    print(", ".join(f"{outcome} {number}" for outcome, number in sorted(outcomes.items())))


if __name__ == "__main__":
    main()
