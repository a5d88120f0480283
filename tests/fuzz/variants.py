"""Captures, varied as other recorders would have made them: cut, one-sided, thinned, wrapped.

    python -m tests.fuzz.variants [DIRECTORY ...]

Each capture that is healthy as it is gets every variant of it analyzed, with keys where some lie
beside it. What a recorder leaves out is no failure: a verdict of ``failed`` is printed.
"""

from __future__ import annotations

import struct
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from vpndiag.capture.errors import CaptureError
from vpndiag.capture.files import open_capture
from vpndiag.capture.keys import KeyFileError, Keys, read_keys
from vpndiag.capture.link import ETH_IP4, ETH_IP6, network
from vpndiag.cli.analysis import analyze
from vpndiag.report.document import Report

SUFFIXES = (".pcap", ".pcapng", ".cap")
ETHERNET, RAW, SLL, SLL2 = 1, 101, 113, 276


@dataclass(frozen=True, slots=True)
class Shot:
    """One frame as it was recorded."""

    time_ns: int
    linktype: int
    data: bytes
    length: int


Variant = tuple[str, list[Shot]]


def load(path: Path) -> list[Shot]:
    """All frames of a capture."""
    with open_capture(path) as capture:
        return [Shot(f.time_ns, f.linktype, f.data, f.length) for f in capture]


def save(shots: Iterable[Shot], path: Path) -> None:
    """A pcapng file with an interface for each link type, nanoseconds."""
    shots = list(shots)
    kinds = list(dict.fromkeys(s.linktype for s in shots)) or [RAW]
    out = [struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)]
    options = struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)
    for kind in kinds:
        out.append(struct.pack("<IIHHI", 1, 32, kind, 0, 0) + options + struct.pack("<I", 32))
    for s in shots:
        padding = -len(s.data) % 4
        size = 32 + len(s.data) + padding
        high, low = divmod(s.time_ns, 1 << 32)
        head = (6, size, kinds.index(s.linktype), high, low, len(s.data), s.length)
        out.append(struct.pack("<7I", *head) + s.data + bytes(padding) + struct.pack("<I", size))
    path.write_bytes(b"".join(out))


def packet(s: Shot) -> tuple[int, bytes] | None:
    """Ethernet type and bytes of the IP packet in a frame."""
    inner = network(s.linktype, s.data)
    if inner is None or inner[0] not in (ETH_IP4, ETH_IP6):
        return None
    return inner[0], s.data[inner[1] :]


def source(s: Shot) -> bytes:
    """Source address; empty without IP."""
    found = packet(s)
    if found is None:
        return b""
    kind, data = found
    return data[12:16] if kind == ETH_IP4 else data[8:24]


def cuts(shots: list[Shot], step: int = 1) -> Iterator[Variant]:
    """The capture ends early, or begins late."""
    for n in range(1, len(shots), step):
        yield f"first {n}", shots[:n]
        yield f"from {n + 1}", shots[n:]


def thinned(shots: list[Shot]) -> Iterator[Variant]:
    """A recorder that could not keep up."""
    for k in (2, 3, 5, 7, 11):
        for phase in range(min(k, 3)):
            yield f"without {k}n+{phase}", [s for i, s in enumerate(shots) if i % k != phase]


def missing(shots: list[Shot], step: int = 1) -> Iterator[Variant]:
    """One packet was not recorded."""
    for n in range(0, len(shots), step):
        yield f"without {n + 1}", shots[:n] + shots[n + 1 :]


def doubled(shots: list[Shot], step: int = 1) -> Iterator[Variant]:
    """One packet twice, as at a mirror port that sees it come and go."""
    for n in range(0, len(shots), step):
        copy = replace(shots[n], time_ns=shots[n].time_ns + 10_000)
        yield f"{n + 1} twice", [*shots[: n + 1], copy, *shots[n + 1 :]]


def exchanged(shots: list[Shot], step: int = 1) -> Iterator[Variant]:
    """Two neighbours came in the other order, or were stamped so."""
    for n in range(0, len(shots) - 1, step):
        one, two = shots[n], shots[n + 1]
        pair = [replace(two, time_ns=one.time_ns), replace(one, time_ns=two.time_ns)]
        yield f"{n + 1} and {n + 2} exchanged", [*shots[:n], *pair, *shots[n + 2 :]]


def one_sided(shots: list[Shot]) -> Iterator[Variant]:
    """Only what one host sends."""
    for address in sorted({source(s) for s in shots} - {b""}):
        yield f"only from {address.hex()}", [s for s in shots if source(s) in (address, b"")]


def shuffled(shots: list[Shot]) -> Iterator[Variant]:
    """Neighbours in the wrong order, as from a recorder with several queues; time stamps stay."""
    swapped = list(shots)
    for i in range(0, len(swapped) - 1, 2):
        swapped[i], swapped[i + 1] = swapped[i + 1], swapped[i]
    yield "neighbours swapped", swapped
    yield "last first", shots[::-1]


def wrapped(shots: list[Shot]) -> Iterator[Variant]:
    """The same packets on other links and in other carriers."""
    for name, wrap in _WRAPS.items():
        yield name, [_wrap(s, wrap) for s in shots]


def _wrap(s: Shot, wrap: Callable[[int, bytes], tuple[int, bytes]]) -> Shot:
    found = packet(s)
    if found is None:
        return s
    linktype, data = wrap(*found)
    return replace(s, linktype=linktype, data=data, length=len(data) + s.length - len(s.data))


_MACS = bytes.fromhex("020000000002020000000001")


def _ether(kind: int, data: bytes) -> tuple[int, bytes]:
    return ETHERNET, _MACS + struct.pack("!H", kind) + data


def _vlans(kind: int, data: bytes) -> tuple[int, bytes]:
    return ETHERNET, _MACS + struct.pack("!HHHHH", 0x88A8, 7, 0x8100, 42, kind) + data


def _pppoe(kind: int, data: bytes) -> tuple[int, bytes]:
    ppp = struct.pack("!H", 0x21 if kind == ETH_IP4 else 0x57) + data
    head = struct.pack("!HBBHH", 0x8864, 0x11, 0, 9, len(ppp) & 0xFFFF)
    return ETHERNET, _MACS + head + ppp


def _sll(kind: int, data: bytes) -> tuple[int, bytes]:
    return SLL, struct.pack("!HHH8sH", 0, 1, 6, b"\2\0\0\0\0\1", kind) + data


def _sll2(kind: int, data: bytes) -> tuple[int, bytes]:
    return SLL2, struct.pack("!HHIHBB8s", kind, 0, 2, 1, 0, 6, b"\2\0\0\0\0\1") + data


def _mpls(_: int, data: bytes) -> tuple[int, bytes]:
    return ETHERNET, _MACS + struct.pack("!HI", 0x8847, 0x00010140) + data


def _in_ip(protocol: int, data: bytes) -> tuple[int, bytes]:
    ends = bytes([10, 250, 0, 1, 10, 250, 0, 2])
    fields = (0x45, 0, (20 + len(data)) & 0xFFFF, 1, 0, 64, protocol, 0)
    return RAW, struct.pack("!BBHHHBBH", *fields) + ends + data


def _gre(kind: int, data: bytes) -> tuple[int, bytes]:
    return _in_ip(47, struct.pack("!HH", 0, kind) + data)


def _bridged(kind: int, data: bytes) -> tuple[int, bytes]:
    return _in_ip(47, struct.pack("!HHI", 0x2000, 0x6558, 7 << 8) + _ether(kind, data)[1])


def _erspan_1(kind: int, data: bytes) -> tuple[int, bytes]:
    return _in_ip(47, struct.pack("!HH", 0, 0x88BE) + _ether(kind, data)[1])


def _erspan_2(kind: int, data: bytes) -> tuple[int, bytes]:
    head = struct.pack("!HHIII", 0x1000, 0x88BE, 9, 0x10070064, 0)
    return _in_ip(47, head + _vlans(kind, data)[1])


def _erspan_3(kind: int, data: bytes) -> tuple[int, bytes]:
    head = struct.pack("!HHIIII", 0x1000, 0x22EB, 9, 0x20070064, 0, 1)
    return _in_ip(47, head + bytes(8) + _ether(kind, data)[1])


def _in_udp(port: int, data: bytes) -> tuple[int, bytes]:
    return _in_ip(17, struct.pack("!HHHH", 40_000, port, 8 + len(data), 0) + data)


def _vxlan(kind: int, data: bytes) -> tuple[int, bytes]:
    return _in_udp(4789, struct.pack("!II", 0x08000000, 77 << 8) + _ether(kind, data)[1])


def _geneve(kind: int, data: bytes) -> tuple[int, bytes]:
    head = struct.pack("!HHII", 0x0100, 0x6558, 77 << 8, 0)
    return _in_udp(6081, head + _ether(kind, data)[1])


def _tzsp(kind: int, data: bytes) -> tuple[int, bytes]:
    return _in_udp(37008, b"\1\0\0\1\x0a\1\5\0\1" + _ether(kind, data)[1])


def _wire(kind: int, data: bytes) -> tuple[int, bytes]:
    labels = struct.pack("!HIII", 0x8847, 0x00010040, 0x00020140, 0)
    return ETHERNET, _MACS + labels + _ether(kind, data)[1]


_WRAPS: dict[str, Callable[[int, bytes], tuple[int, bytes]]] = {
    "raw IP": lambda kind, data: (RAW, data),
    "Ethernet": _ether,
    "two VLAN tags": _vlans,
    "PPPoE": _pppoe,
    "Linux cooked": _sll,
    "Linux cooked v2": _sll2,
    "MPLS": _mpls,
    "GRE": _gre,
    "bridged over GRE": _bridged,
    "ERSPAN type I": _erspan_1,
    "ERSPAN type II": _erspan_2,
    "ERSPAN type III": _erspan_3,
    "VXLAN": _vxlan,
    "Geneve": _geneve,
    "TZSP": _tzsp,
    "Ethernet over MPLS": _wire,
}


def keys_beside(capture: Path) -> Keys | None:
    """Keys in the capture's own directory, or in the one named after it."""
    for place in (capture.with_suffix(".keys"), capture.parent):
        try:
            if any((place / n).is_file() for n in ("esp_sa", "ikev1_decryption_table")):
                return read_keys(place)
        except KeyFileError:
            continue
    return None


def judged(shots: list[Shot], keys: Keys | None, place: Path) -> Report:
    save(shots, place)
    return analyze([place], keys)


def all_variants(shots: list[Shot], step: int = 1) -> Iterator[Variant]:
    yield from cuts(shots, step)
    yield from thinned(shots)
    yield from missing(shots, step)
    yield from doubled(shots, step)
    yield from exchanged(shots, step)
    yield from one_sided(shots)
    yield from shuffled(shots)
    yield from wrapped(shots)


def sweep(path: Path, place: Path, step: int) -> Iterator[str]:
    """Variants of one healthy capture that are called failed, or wrapped and no longer healthy."""
    found = keys_beside(path)
    shots = load(path)
    for keys in (None, found) if found else (None,):
        if judged(shots, keys, place).verdict.outcome != "healthy":
            continue
        how = "with keys" if keys else "no keys"
        for name, variant in all_variants(shots, step):
            try:
                verdict = judged(variant, keys, place).verdict
            except CaptureError:
                continue
            if verdict.outcome == "failed":
                yield f"{path.name}, {how}, {name}: {verdict.finding}: {verdict.headline}"
            elif name in _WRAPS and verdict.outcome != "healthy":
                yield f"{path.name}, {how}, {name}: {verdict.outcome}: {verdict.headline}"


def main() -> None:
    places = [Path(a) for a in sys.argv[1:]] or [Path("captures")]
    files = [
        p
        for place in places
        for p in ([place] if place.is_file() else sorted(place.rglob("*")))
        if p.suffix in SUFFIXES
    ]
    told = 0
    with tempfile.TemporaryDirectory() as folder:
        for path in files:
            try:
                count = len(load(path))
            except CaptureError:
                continue
            for line in sweep(path, Path(folder) / "variant.pcapng", max(1, count // 150)):
                print(line, flush=True)
                told += 1
    print(f"{len(files)} captures, {told} variants called failed")


if __name__ == "__main__":
    main()
