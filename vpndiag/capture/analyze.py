"""From capture files to the sessions in them, observed; judging is for others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vpndiag.capture import ike_fragments, l2tp_strangers, not_esp, not_l2tp
from vpndiag.capture.asked import Asked, read_comment
from vpndiag.capture.attempt import Attempt
from vpndiag.capture.clocks import note, one_clock
from vpndiag.capture.collect import Collector
from vpndiag.capture.elsewhere import described
from vpndiag.capture.errors import CaptureError, ForeignFormat, Note
from vpndiag.capture.files import CaptureFile, open_capture
from vpndiag.capture.heap import growing
from vpndiag.capture.keys import Keys
from vpndiag.capture.material import Material
from vpndiag.capture.nat import join_forwarded, join_strangers, join_translated
from vpndiag.capture.observing import Observer
from vpndiag.capture.order import in_time_order
from vpndiag.capture.outer_mtu import is_sized_head
from vpndiag.capture.packets import EspPacket, Incomplete, Message
from vpndiag.capture.pieces import Scanned
from vpndiag.capture.prefilter import Prefilter
from vpndiag.capture.sessions import sessions
from vpndiag.capture.share import Share
from vpndiag.capture.window import CHUNK, Progress
from vpndiag.observations import Observation, OtherTraffic
from vpndiag.observations.other import IKE_CUT_OFF, IKE_FRAGMENTS, NAT_KEEPALIVES
from vpndiag.protocols.esp.transport import guess_null
from vpndiag.records import record

if TYPE_CHECKING:
    from vpndiag.capture.trust import Trust

SMALL = 4 * 1024 * 1024
"""Bytes of a file whose every ESP packet is looked into without keys (NULL encryption)."""
SAMPLE = 400
"""ESP packets of a larger file that are looked into first."""

LONG = 16 * 1024 * 1024
"""Bytes from which on several processes read a capture that is full of control packets."""
LOOK, CONTROL = 1_000, 8
"""One in so many of the first packets is a control packet then."""

Ahead = Callable[[Path, Progress | None], Scanned | None]
"""What was found in a file already; None: it must be read."""

FileProgress = Callable[[int, int, int], None]
"""``progress(index of the file, bytes read, bytes in all)``."""


@record(frozen=True, slots=True)
class FileRead:
    """One file; its frames have the numbers ``first_frame`` to ``first_frame + frames - 1``."""

    path: Path
    first_frame: int
    frames: int
    notes: tuple[str, ...]


@record(frozen=True, slots=True)
class Analysis:
    """What capture files hold. ``other`` is traffic that is no attempt of ours."""

    files: tuple[FileRead, ...]
    material: Material
    attempts: tuple[Attempt, ...]
    observer: Observer
    other: tuple[OtherTraffic, ...]
    notes: tuple[str, ...]

    def observe(self, attempt: Attempt) -> tuple[Observation, ...]:
        """What was seen of one attempt. Not kept here: ten thousand attempts' would be a lot."""
        return self.observe_all([attempt])[0]

    def observe_all(self, attempts: Sequence[Attempt]) -> list[tuple[Observation, ...]]:
        """The same of many, which takes less time than one by one."""
        return [tuple(seen) for seen in self.observer.observe(attempts)]

    def without_attempts(self) -> Analysis:
        """What it says of the capture as a whole."""
        ours = self.material
        rest = Material(first_ns=ours.first_ns, last_ns=ours.last_ns, frames=ours.frames)
        return replace(self, material=rest, attempts=(), observer=Observer(rest))


def read(
    paths: Sequence[str | Path],
    keys: Keys | None = None,
    progress: FileProgress | None = None,
    trust: Trust | None = None,
    asked: Asked | None = None,
    share: Share | None = None,
    ahead: Ahead | None = None,
) -> Analysis:
    """Read all files as one capture, in the order of their first packets. ``asked``: what was to
    be tested inside, besides what the files say of it. ``share``: find only the attempts that are
    in it, which takes a capture without ESP that could be read (:func:`divisible`). ``ahead``: who
    has read some of them.

    :raises CaptureError: a file that cannot be read as a capture, or not on to its end.
    """
    with growing():
        ordered = _in_time_order([Path(p) for p in paths])
        collector = Collector(keys, share)
        if asked is not None:
            collector.material.wanted(asked)
        files: list[FileRead] = []
        for index, path in enumerate(ordered):
            files.append(_read_file(path, index, collector, keys, progress, share, ahead))
        material = collector.material
        in_time_order(material)
        clocks = one_clock(material)
        ike_fragments.join(material)
        translated = join_translated(material)
        forwarded = join_forwarded(material)
        join_strangers(material)
        l2tp_strangers.join(material)
        not_esp.leave_out(material)
        no_l2tp = not_l2tp.leave_out(material)
        attempts = tuple(sessions(material, whole=share is None))
        if no_l2tp is not None and not attempts and share is None:
            material.tallies[not_l2tp.NAME] = no_l2tp
    observer = Observer(material, keys, trust)
    notes = _notes(files, material, translated, forwarded)
    notes += tuple(note(hosts, by) for hosts, by in list(clocks.items())[:8])
    notes += _about_keys(keys, material)
    other = tuple(_other(material, observer))
    if not attempts and not other and files and share is None:
        instead = described(files[0].path)
        notes += (instead,) if instead else ()
    return Analysis(tuple(files), material, attempts, observer, other, notes)


def _open(
    path: Path, progress: Callable[[int, int], None] | None = None, chunk: int | None = None
) -> CaptureFile:
    """The capture; one of a format that only Wireshark reads through tshark, if that is installed
    and the file can be read twice."""
    try:
        return open_capture(path, progress=progress, chunk=chunk)
    except ForeignFormat:
        from vpndiag.capture.wireshark import open_converted, tshark

        if tshark() is None or not path.is_file():
            raise
        try:
            return open_converted(path, progress=progress)
        except CaptureError:
            pass  # tshark does not know it either: what was said first is clearer
        raise


def _same_file(path: Path) -> object:
    """A name of the file that is the same however it was given."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return path
    return (found.st_dev, found.st_ino) if found.st_ino else path.absolute()


def _in_time_order(paths: list[Path]) -> list[Path]:
    paths = list({_same_file(path): path for path in paths}.values())
    if len(paths) < 2:
        return paths
    for path in paths:
        if str(path) == "-" or (path.exists() and not (path.is_file() or path.is_dir())):
            # It would have to be read twice: first for its place among the others.
            raise CaptureError("a pipe can only be analyzed alone", str(path), "save it to a file")
    firsts: list[tuple[int, int, Path]] = []
    for index, path in enumerate(paths):
        with _open(path, chunk=CHUNK) as capture:
            frame = next(iter(capture), None)
            # An empty file of a ring stays where it was given.
            firsts.append((frame.time_ns if frame else 0, index, path))
    return [path for _, _, path in sorted(firsts)]


def _read_file(
    path: Path,
    index: int,
    collector: Collector,
    keys: Keys | None,
    progress: FileProgress | None,
    share: Share | None,
    ahead: Ahead | None,
) -> FileRead:
    keep = share is None and (bool(keys and keys.esp) or _worth_opening(path))
    tell: Callable[[int, int], None] | None = None
    if progress is not None:
        report = progress

        def tell(done: int, total: int) -> None:
            report(index, done, total)

    before = collector.material.frames
    done = ahead(path, tell) if ahead is not None and not keep else None
    if done is not None:
        collector.read(done)
        notes, comments = done.notes, done.comments
    else:
        with _open(path, tell) as capture:
            scan = Prefilter(capture, keep_esp=keep, share=share)
            collector.read(scan)
            notes, comments = scan.notes, capture.comments
    for comment in comments:
        if (asked := read_comment(comment)) is not None:
            collector.material.wanted(asked)
    count = collector.material.frames - before
    return FileRead(path, before + 1, count, tuple(str(note) for note in notes))


def _worth_opening(path: Path) -> bool:
    """Whether ESP packets are kept although there are no keys: the file is small, or the first of
    them read as NULL encryption."""
    try:
        if not path.is_file() or path.stat().st_size <= SMALL:
            return path.is_file()
    except OSError:
        return False
    seen = 0
    with _open(path, chunk=CHUNK) as capture:
        capture.most = 100 * SAMPLE
        for packet in Prefilter(capture, keep_esp=True):
            if isinstance(packet, EspPacket):
                seen += 1
                if guess_null(packet.payload) is not None:
                    return True
            if seen >= SAMPLE:
                return False
    return False


def divisible(paths: Sequence[str | Path]) -> bool:
    """Whether several processes can each read a share of these files, and are worth it: long ones,
    on disk, full of control packets, without ESP that can be read."""
    try:
        files = [Path(p) for p in paths]
        if not all(p.is_file() for p in files) or sum(p.stat().st_size for p in files) < LONG:
            return False
        largest = max(files, key=lambda p: p.stat().st_size)
        with open_capture(largest, chunk=CHUNK) as capture:
            capture.most = LOOK
            control = sum(1 for _ in Prefilter(capture, fast=False))
        return control * CONTROL >= LOOK and not any(_worth_opening(p) for p in files)
    except (OSError, ValueError, CaptureError):
        return False


_KINDS = {
    "l2tpv3": "L2TPv3",
    "wireguard": "WireGuard",
    "pptp-control": "PPTP",
    "pptp-gre": "PPTP",
    "ah": "AH",
    "gre": "GRE",
    "pppoe-discovery": "PPPoE",
    "ike-tcp": "IKE over TCP",
    not_esp.NAME: "UDP 4500 that is no IPsec",
    not_l2tp.NAME: "UDP 1701 that is no L2TP",
    "natt-keepalive": NAT_KEEPALIVES,
}


def _other(material: Material, observer: Observer) -> list[OtherTraffic]:
    counted: dict[str, OtherTraffic] = {}
    for name, what in _KINDS.items():
        tally = material.tallies.get(name)
        if tally is None:
            continue
        known = counted.get(what)
        counted[what] = OtherTraffic(
            t=observer.t(tally.first_ns),
            frames=(tally.first_frame,),
            what=what,
            packets=tally.packets + (known.packets if known else 0),
        )
    cut = _cut_off(material)
    if cut:
        first = cut[0]
        counted[IKE_CUT_OFF] = OtherTraffic(
            t=observer.t(first.time_ns),
            frames=first.frames,
            what=IKE_CUT_OFF,
            packets=len(cut),
        )
    parts = _fragments(material)
    if parts:
        counted[IKE_FRAGMENTS] = OtherTraffic(
            t=observer.t(parts[0].first_ns),
            frames=parts[0].frames[:8],
            what=IKE_FRAGMENTS,
            packets=len(parts),
        )
    return list(counted.values())


def _fragments(material: Material) -> list[Incomplete]:
    """Datagrams to or from a port of IKE of which the capture has only a part."""
    return [
        lost
        for lost in material.incomplete
        if {lost.sport, lost.dport} & {500, 4500} and not is_sized_head(lost.head)
    ]


def _cut_off(material: Material) -> list[Message]:
    """IKE messages of which so little was kept that not even the exchange can be told."""
    return [
        d
        for d in material.odd
        if d.missing and (500 in (d.src[1], d.dst[1]) or d.kind == "ike-natt")
    ]


def _about_keys(keys: Keys | None, material: Material) -> tuple[str, ...]:
    """Who gives keys expects them to be used."""
    if keys is None:
        return ()
    notes = []
    known = any(t.cookie in keys.ike for t in material.ike) or any(
        f.spi in keys.esp for f in material.flows
    )
    if keys and not known and (material.ike or material.flows):
        notes.append(
            "None of the keys given belongs to this capture (no initiator cookie and no SPI of "
            "theirs is in it): they are of another session."
        )
    if keys.unused:
        more = f", and {len(keys.unused) - 3} more" if len(keys.unused) > 3 else ""
        notes.append(f"Keys that cannot be used: {'; '.join(keys.unused[:3])}{more}.")
    return tuple(notes)


def _notes(
    files: list[FileRead],
    material: Material,
    translated: dict[tuple[str, str], str],
    forwarded: dict[tuple[str, str], str],
) -> tuple[str, ...]:
    notes = [
        f"{f.path.name}: {note}" if len(files) > 1 else note for f in files for note in f.notes
    ]
    if len(files) > 1:
        notes.append(
            "Frame numbers go on from file to file: "
            + ", ".join(f"{f.path.name} begins at {f.first_frame}" for f in files[:20])
        )
    for (own, gateway), outside in list(translated.items())[:8]:
        notes.append(
            f"The capture was made where {own} is translated to {outside}: packets from {gateway} "
            f"carry the one, packets to it the other."
        )
    if not material.frames:
        notes.append("The capture holds no packets: was it the right interface, or filter?")
    for (source, client), asked in list(forwarded.items())[:8]:
        notes.append(
            f"{client} asks {asked} and is answered by {source}, which it takes: the address is "
            "translated between there and the place of the capture, or the client does not care."
        )
    cut = _cut_off(material)
    if cut:
        what = "1 IKE message is" if len(cut) == 1 else f"{len(cut)} IKE messages are"
        notes.append(
            f"{what} cut off by the snap length of the capture (the first in frame "
            f"{cut[0].frame}), and not judged: record whole packets (tcpdump -s 0)."
        )
    parts = _fragments(material)
    if parts and all(len(lost.frames) == 1 for lost in material.incomplete):
        notes.append(
            "Of fragmented datagrams of IKE or ESP only the first fragment is in the capture each "
            f"time ({len(parts)}): a capture filter by port leaves the others out."
        )
    if material.left_out:
        notes.append(f"{material.left_out} control packets were too many and are not judged.")
    return tuple(notes)


__all__ = ["Analysis", "CaptureError", "FileRead", "Note", "read"]
