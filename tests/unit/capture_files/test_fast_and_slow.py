"""The fast way counts, keeps and tells exactly what the slow way does."""

from __future__ import annotations

import random
import struct
from io import BytesIO
from pathlib import Path

import pytest

from vpndiag.capture.files import CaptureError, open_capture
from vpndiag.capture.flows import EspFlow
from vpndiag.capture.prefilter import Prefilter
from vpndiag.capture.write import udp_packet

SHARED = Path(__file__).parents[4] / "shared" / "captures"
REAL = sorted(p for p in SHARED.rglob("*cap*") if p.suffix in (".pcap", ".pcapng", ".cap"))
ENDS = [("192.0.2.1", "198.51.100.2"), ("2001:db8::1", "2001:db8::2")]
ETHERNET = bytes(range(12))


def outcome(data: bytes, fast: bool, clock: bool = True) -> object:
    """All that a pass tells; without ``clock``, not what a clock that jumps back may hide from the
    fast way (told in EspFlow.add_many)."""
    try:
        capture = open_capture(BytesIO(data))
    except CaptureError as error:
        return str(error)
    scan = Prefilter(capture, fast=fast)
    kept = list(scan)
    hidden = () if clock else ("silence", "_longest")
    names = [name for name in EspFlow.__slots__ if name not in hidden]
    flows = [[getattr(flow, name) for name in names] for flow in scan.flows]
    last = scan.last_ns if clock else None
    return kept, flows, scan.tallies, scan.frames, scan.notes, scan.first_ns, last


def traffic(rng: random.Random, link: str, count: int) -> list[bytes]:
    """ESP of several SPIs and directions with loss, disorder and copies, among other packets."""
    six = rng.random() < 0.3
    one, two = ENDS[six]
    spis = [rng.randrange(256, 1 << 32) for _ in range(rng.choice((1, 2, 3, 12, 40)))]
    numbers = dict.fromkeys(spis, 0)
    odd = rng.choice((0.001, 0.02, 0.4))
    bare = rng.random() < 0.3
    packets: list[bytes] = []
    for index in range(count):
        spi = rng.choice(spis)
        src, dst = (one, two) if spi & 1 else (two, one)
        if rng.random() < odd:
            payload = rng.choice((b"\xff", bytes(4) + rng.randbytes(60), rng.randbytes(6), b""))
            packet = udp_packet(src, dst, 4500, rng.choice((4500, 500, 9)), payload, index)
        else:
            numbers[spi] += rng.choice((1,) * 60 + (2, 3, 2000, 0, -3))
            head = struct.pack("!II", spi, numbers[spi] & 0xFFFFFFFF)
            body = head + rng.randbytes(rng.choice((40, 56, 120, 900)))
            packet = udp_packet(src, dst, 4500, 4500, body, index)
            if bare:
                length = len(packet) - 8
                if six:
                    packet = packet[:4] + struct.pack("!HB", length - 40, 50) + packet[7:40] + body
                else:
                    packet = (
                        packet[:2] + struct.pack("!H", length) + packet[4:9] + b"\x32"
                        + packet[10:20] + body
                    )  # fmt: skip
            if rng.random() < 0.01:
                damaged = bytearray(packet)
                damaged[rng.randrange(min(len(damaged), 40))] ^= 1 << rng.randrange(8)
                packet = bytes(damaged)
        packets.append(packet)
    for _ in range(count // 200):
        at = rng.randrange(1, count)
        packets[at - 1], packets[at] = packets[at], packets[at - 1]
        packets[rng.randrange(count)] = packets[at]
    kind = b"\x86\xdd" if six else b"\x08\x00"
    heads = {
        "raw": [b""],
        "ethernet": [ETHERNET + kind],
        "vlan": [ETHERNET + b"\x81\x00\x00\x07" + kind, ETHERNET + b"\x81\x00\x00\x09" + kind],
        "mixed": [ETHERNET + kind, ETHERNET + b"\x81\x00\x00\x07" + kind],
    }[link]
    return [rng.choice(heads) + packet for packet in packets]


def as_pcap(rng: random.Random, frames: list[bytes], linktype: int) -> bytes:
    order = rng.choice("<>")
    magic = rng.choice((0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34))
    snap = rng.choice((65535, 65535, 64, 50))
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snap, linktype)]
    now = 0
    for data in frames:
        now += rng.choice((1, 50, 1000, 400_000))
        cut = data[:snap]
        out.append(struct.pack(order + "IIII", now // 10**6, now % 10**6, len(cut), len(data)))
        out.append(bytes(8) if magic == 0xA1B2CD34 else b"")
        out.append(cut)
    return b"".join(out)


def as_pcapng(rng: random.Random, frames: list[bytes], linktype: int) -> bytes:
    order, now = "<", 0
    out: list[bytes] = []

    def block(kind: int, body: bytes) -> None:
        size = 12 + len(body)
        out.append(struct.pack(order + "II", kind, size) + body + struct.pack(order + "I", size))

    for index, data in enumerate(frames):
        if index % 1500 == 0:
            order = rng.choice("<>")
            block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
            block(1, struct.pack(order + "HHI", linktype, 0, 0))
            block(1, struct.pack(order + "HHIHHI", linktype, 0, 0, 9, 1, 0) + bytes(4))
            block(1, struct.pack(order + "HHI", 105, 0, 0))
        now += rng.choice((1, 50, 1000, 400_000))
        interface = rng.choice((0,) * 30 + (1, 2))
        time = now if interface != 1 else now // 10**6
        cut = data[: rng.choice((65535,) * 20 + (50,))]
        body = struct.pack(
            order + "IIIII", interface, time >> 32, time & 0xFFFFFFFF, len(cut), len(data)
        )
        body += cut + bytes(-len(cut) % 4)
        if rng.random() < 0.1:
            body += struct.pack(order + "HHII", 2, 4, 1, 0)
        block(6, body)
        if rng.random() < 0.002:
            block(5, bytes(12))
    return b"".join(out)


CASES = [
    (link, form) for link in ("raw", "ethernet", "vlan", "mixed") for form in ("pcap", "pcapng")
]


@pytest.mark.parametrize(("link", "form"), CASES)
@pytest.mark.parametrize("seed", range(3))
def test_generated_traffic(link: str, form: str, seed: int) -> None:
    rng = random.Random(f"{link}/{form}/{seed}")
    frames = traffic(rng, link, 4000)
    write = as_pcap if form == "pcap" else as_pcapng
    data = write(rng, frames, 101 if link == "raw" else 1)
    assert outcome(data, True) == outcome(data, False)
    damaged = bytearray(data)
    for _ in range(20):
        damaged[rng.randrange(len(data) // 2, len(data))] ^= 1 << rng.randrange(8)
    assert outcome(bytes(damaged), True, False) == outcome(bytes(damaged), False, False)


@pytest.mark.skipif(not REAL, reason="the shared captures are not here")
def test_real_captures() -> None:
    for path in REAL:
        data = path.read_bytes()
        if len(data) < 2_000_000:
            assert outcome(data, True, False) == outcome(data, False, False), path
