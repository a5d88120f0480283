"""The fast way counts, keeps and tells exactly what the slow way does."""

from __future__ import annotations

import random
import struct
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.benchmark_modules import benchmark
from tests.helpers import pcap
from vpndiag.capture import columns, flow_table, lockstep, usual
from vpndiag.capture.collect import Collector
from vpndiag.capture.files import CaptureError, open_capture
from vpndiag.capture.flows import EspFlow
from vpndiag.capture.prefilter import Prefilter
from vpndiag.capture.share import Share
from vpndiag.capture.ways import Ways
from vpndiag.capture.write import udp_packet

SHARED = Path(__file__).parents[4] / "shared" / "captures"
REAL = sorted(p for p in SHARED.rglob("*cap*") if p.suffix in (".pcap", ".pcapng", ".cap"))
ENDS = [("192.0.2.1", "198.51.100.2"), ("2001:db8::1", "2001:db8::2")]
ETHERNET = bytes(range(12))
#: Bytes from which numpy is taken, of a part of its walk, and read at a time.
WAYS = {"plain": (1 << 62, 1 << 15, None)}
if find_spec("numpy"):
    WAYS |= {"numpy": (0, 1 << 15, None), "numpy, in small pieces": (0, 400, 30_000)}


def outcome(
    data: bytes,
    fast: bool,
    clock: bool = True,
    chunk: int | None = None,
    share: Share | None = None,
) -> object:
    """All that a pass tells; without ``clock``, not what a clock that jumps back may hide from the
    fast way (told in EspFlow.add_many)."""
    try:
        capture = open_capture(BytesIO(data), chunk=chunk)
    except CaptureError as error:
        return str(error)
    scan = Prefilter(capture, fast=fast, share=share)
    kept = list(scan)
    hidden = () if clock else ("silence", "_longest")
    names = [name for name in EspFlow.__slots__ if name not in hidden]
    flows = [[getattr(flow, name) for name in names] for flow in scan.flows]
    last = scan.last_ns if clock else None
    dropped = scan.flows.dropped
    return kept, flows, dropped, scan.tallies, scan.frames, scan.notes, scan.first_ns, last


def collected(data: bytes, chunk: int | None, share: Share) -> tuple[object, ...]:
    """All that a collector makes of a share; some of the others' packets are handed to it too."""
    collector = Collector(None, share)
    collector.read(Prefilter(open_capture(BytesIO(data), chunk=chunk), share=share))
    material = collector.material
    flows = [
        [getattr(part, name) for name in EspFlow.__slots__]
        for track in material.flows
        for part in track.parts
    ]
    inside = [repr(pair) for pair in material.inside.pairs.values()]
    rest = material.icmp, material.odd, material.dns, material.inner, material.incomplete
    return material.ike, material.l2tp, flows, inside, rest, material.tallies, material.last_ns


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
    order: pcap.Order = rng.choice(("<", ">"))
    magic = rng.choice((pcap.MICRO, pcap.NANO, pcap.KUZNETZOV))
    snap = rng.choice((65535, 65535, 64, 50))
    out = [pcap.header(linktype, order=order, magic=magic, snap=snap)]
    now = 0
    for data in frames:
        now += rng.choice((1, 50, 1000, 400_000))
        time = divmod(now, 10**6)
        out.append(pcap.record(data[:snap], *time, order=order, magic=magic, length=len(data)))
    return b"".join(out)


def as_pcapng(rng: random.Random, frames: list[bytes], linktype: int) -> bytes:
    order, now, odd = "<", 0, rng.choice((0.0, 0.002, 0.1))
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
        if rng.random() < odd:
            block(rng.choice((3, 4, 5, 5, 0x0BAD)), bytes(12))
    return b"".join(out)


CASES = [
    (link, form) for link in ("raw", "ethernet", "vlan", "mixed") for form in ("pcap", "pcapng")
]


def compare(monkeypatch: pytest.MonkeyPatch, data: bytes, clock: bool, what: object) -> None:
    """The fast way by plain Python and by numpy, whatever the length of the file."""
    slow = outcome(data, False, clock)
    for way, (large, part, chunk) in WAYS.items():
        monkeypatch.setattr(columns, "LARGE", large)
        monkeypatch.setattr(lockstep, "PART", part)
        monkeypatch.setattr(lockstep, "FEW", 2 if part < 1000 else 8)
        assert outcome(data, True, clock, chunk) == slow, (way, what)
    # The way that suits many control packets, with all of them in the share.
    monkeypatch.setattr(usual, "_MANY", 2 * part)
    assert outcome(data, True, clock, chunk, Share.of(0, 1)) == slow, ("usual", what)


@pytest.mark.parametrize(("link", "form"), CASES)
@pytest.mark.parametrize("seed", range(3))
def test_generated_traffic(
    monkeypatch: pytest.MonkeyPatch, link: str, form: str, seed: int
) -> None:
    rng = random.Random(f"{link}/{form}/{seed}")
    frames = traffic(rng, link, 4000)
    write = as_pcap if form == "pcap" else as_pcapng
    data = write(rng, frames, 101 if link == "raw" else 1)
    compare(monkeypatch, data, True, "sound")
    damaged = bytearray(data)
    for _ in range(20):
        damaged[rng.randrange(len(data) // 2, len(data))] ^= 1 << rng.randrange(8)
    compare(monkeypatch, bytes(damaged), False, "damaged")


@pytest.mark.skipif(not REAL, reason="the shared captures are not here")
def test_real_captures(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in REAL:
        data = path.read_bytes()
        if len(data) < 2_000_000:
            compare(monkeypatch, data, False, path)


@pytest.mark.parametrize("form", ["pcap", "pcapng"])
def test_numpy_sorts_what_it_is_given(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """The comparisons above would also hold if numpy were never taken."""
    pytest.importorskip("numpy")
    rng = random.Random(form)
    data = (as_pcap if form == "pcap" else as_pcapng)(rng, traffic(rng, "raw", 4000), 101)
    sort, sorted_rows = columns.Columns.sort, [0]

    def counting(self: columns.Columns, *given: Any) -> tuple[list[int], list[columns.Group]]:
        result = sort(self, *given)
        sorted_rows[0] += sum(len(group.places) for group in result[1])
        return result

    monkeypatch.setattr(columns.Columns, "sort", counting)
    monkeypatch.setattr(columns, "LARGE", 1 << 62)
    plain = outcome(data, True)
    assert sorted_rows == [0]
    monkeypatch.setattr(columns, "LARGE", 0)
    assert outcome(data, True) == plain
    assert sorted_rows[0] > 1000


def test_without_numpy_a_long_capture_goes_the_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(1)
    data = as_pcap(rng, traffic(rng, "ethernet", 2000), 1)
    monkeypatch.setattr(columns, "LARGE", 0)
    monkeypatch.setattr(columns, "library", lambda: None)
    assert outcome(data, True) == outcome(data, False)


@pytest.mark.parametrize("seed", range(4))
def test_payloads_full_of_block_types(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Words that look like the start of a packet block, some with a length that fits."""
    rng = random.Random(seed)
    frames = []
    for number in range(1, 600):
        inside = b"".join(
            struct.pack(rng.choice("<>") + "II", 6, rng.choice((0, 6, 8, 32, 36, 100)))
            for _ in range(rng.randrange(3, 30))
        )
        head = struct.pack("!II", 0x01020304, number)
        body = head + bytes(rng.choice((0, 0, 0, 1, 2))) + inside
        frames.append(udp_packet("192.0.2.1", "198.51.100.2", 4500, 4500, body, number))
    compare(monkeypatch, as_pcapng(rng, frames, 101), True, seed)


def control_packets(rng: random.Random, strange: float = 0.1) -> list[bytes]:
    """Sessions of IKE with ESP, and of L2TP, of many clients, and other packets among them, some of
    them damaged: what is between two ends is now one thing, now another."""
    made = benchmark("control_capture")
    timed: list[tuple[float, bytes]] = []
    for number in range(40):
        client = bytes((10, 0, 0, 1 + number % 9))
        moment = number * 0.05
        for mine, port, payload in (made._ipsec if number % 2 else made._l2tp)(rng, client):
            moment += 0.01
            ends = (client, made.GATEWAY) if mine else (made.GATEWAY, client)
            odd = rng.random() * 0.1 / strange if strange else 1.0
            if odd < 0.02:
                payload = rng.choice((b"", b"\xff", payload[:9], rng.randbytes(40), bytes(60)))
            elif odd < 0.04:
                port = rng.choice((500, 4500, 1701, 53, 9))
            elif odd < 0.06:
                # Users' data in L2TP, written in each way.
                spelled = rng.choice((b"\xff\x03", b""))
                payload = struct.pack("!HHH", rng.choice((2, 0x4002)), 7, 7) + spelled
                payload += rng.choice((b"\x00\x21", b"\x21", b"\xc0\x21"))
                inner = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 64, 1, 0)
                payload += inner + bytes((10, 1, 0, number, 10, 2, 0, 1)) + rng.randbytes(20)
            frame = made._frame(*ends, port, port, payload)
            if rng.random() < strange:
                damaged = bytearray(frame)
                damaged[rng.randrange(12, min(72, len(frame)))] ^= 1 << rng.randrange(8)
                frame = bytes(damaged)
            timed.append((moment, frame))
    return [frame for _, frame in sorted(timed)]


@pytest.mark.parametrize("form", ["pcap", "pcapng"])
@pytest.mark.parametrize("seed", range(6))
def test_control_packets(monkeypatch: pytest.MonkeyPatch, form: str, seed: int) -> None:
    """All of them, and those of a share: one by one and by columns."""
    rng = random.Random(f"{form}/{seed}")
    data = (as_pcap if form == "pcap" else as_pcapng)(rng, control_packets(rng), 1)
    compare(monkeypatch, data, True, "control")
    with monkeypatch.context() as few:
        few.setattr(flow_table, "MAX_FLOWS", 12)
        compare(few, data, True, "too many flows")
    for number in range(3):
        found = []
        for large, part, chunk in WAYS.values():
            monkeypatch.setattr(columns, "LARGE", large)
            monkeypatch.setattr(lockstep, "PART", part)
            monkeypatch.setattr(usual, "_MANY", 2 * part)
            found.append(collected(data, chunk, Share.of(number / 3, (number + 1) / 3)))
        assert all(each == found[0] for each in found), number


def test_control_packets_are_looked_at_by_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison would also hold if they never were."""
    pytest.importorskip("numpy")
    rng = random.Random(5)
    frames = control_packets(rng, 0.0)
    data = pcap.capture(((1.0, frame) for frame in frames), pcap.ETHERNET)
    looks, looked = usual.UsualColumns.look, [0]

    def counting(self: usual.UsualColumns) -> int | None:
        count = looks(self)
        looked[0] += count or 0
        return count

    monkeypatch.setattr(usual.UsualColumns, "look", counting)
    monkeypatch.setattr(columns, "LARGE", 0)
    collected(data, None, Share.of(0, 1))
    assert len(frames) * 0.7 < looked[0] <= len(frames)


def test_short_packets_in_padded_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ethernet pads to 60 bytes; padding is no sequence number."""
    rng = random.Random(2)
    frames = []
    for number in range(1, 400):
        body = struct.pack("!II", 0x01020304, number) + bytes(40)
        body = body[: rng.choice((48, 48, 48, 7, 5, 4))]
        packet = udp_packet("192.0.2.1", "198.51.100.2", 4500, 4500, body, number)
        frames.append((ETHERNET + b"\x08\x00" + packet).ljust(60, b"\0"))
    compare(monkeypatch, as_pcap(rng, frames, 1), True, "padded")


def test_a_frame_of_impossible_length_within_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    packet = udp_packet("192.0.2.1", "198.51.100.2", 4500, 4500, struct.pack("!II", 9, 1) * 9, 0)
    sizes = [len(packet)] * 100 + [300_000] + [len(packet)] * 100
    data = pcap.capture((1.0, packet.ljust(size, b"\0")) for size in sizes)
    compare(monkeypatch, data, True, "too long")


def test_many_short_flows(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a flow's packets may come within one window, and more flows than are kept; IKE
    without a marker on port 4500 looks like one more flow."""
    rng = random.Random(3)
    ike = bytes(range(1, 9)) + bytes(8) + b"\x00\x10\x05\x01" + bytes(4) + struct.pack("!I", 92)
    frames = []
    for flow in range(120):
        body = struct.pack("!I", flow << 8 | 1)
        frames += [
            (flow + rng.random() * 20, body + struct.pack("!I", n) + bytes(40))
            for n in range(rng.choice((1, 3, 5, 12)))
        ]
    frames += [(rng.random() * 120, ike.ljust(92, b"\0")) for _ in range(8)]
    packets = [
        udp_packet("192.0.2.1", "198.51.100.2", 4500, 4500, body, n)
        for n, (_, body) in enumerate(sorted(frames))
    ]
    compare(monkeypatch, as_pcap(rng, packets, 101), True, "many flows")
    monkeypatch.setattr(flow_table, "MAX_FLOWS", 50)
    compare(monkeypatch, as_pcap(rng, packets, 101), True, "too many flows")


def test_many_control_packets_after_much_data_and_the_other_way_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The way is chosen anew for each window, by the one before."""
    rng = random.Random(3)
    message = rng.randbytes(16) + bytes.fromhex("08100501") + rng.randbytes(4)
    packets = []
    for index in range(12_000):
        if 4000 <= index < 8000 and index % 2:
            body = bytes(4) + message + struct.pack("!I", 128) + rng.randbytes(100)
        else:
            body = struct.pack("!II", 4711 + index % 5, 1 + index // 5) + rng.randbytes(600)
        packets.append(ETHERNET + b"\x08\x00" + udp_packet(*ENDS[0], 4500, 4500, body, index))
    data = as_pcap(rng, packets, 1)
    taken: list[bool] = []
    chosen = Ways._many_control

    def watched(ways: Ways) -> bool:
        taken.append(chosen(ways))
        return taken[-1]

    monkeypatch.setattr(Ways, "_many_control", watched)
    scan = Prefilter(open_capture(BytesIO(data)))
    kept = list(scan)
    slow = Prefilter(open_capture(BytesIO(data)), fast=False)
    assert kept == list(slow)
    assert [f.packets for f in scan.flows] == [f.packets for f in slow.flows]
    assert [f.missing for f in scan.flows] == [f.missing for f in slow.flows]
    assert True in taken and not taken[0] and not taken[-1]
