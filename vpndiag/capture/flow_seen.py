"""One ESP flow of a capture as an observation."""

from __future__ import annotations

from collections.abc import Callable

from vpndiag.capture.flow_values import Sample
from vpndiag.capture.material import FlowTrack
from vpndiag.observations import Direction, EspFlow

_SAMPLES = 16
_SHOWN = 8


def flow_seen(flow: FlowTrack, direction: Direction, t: Callable[[int], float]) -> EspFlow:
    """``flow``, whose parts are of one file each, as a whole. ``t``: seconds of a packet's time."""
    parts, stats = flow.parts, flow.stats
    samples: list[Sample] = []
    repeated: list[int] = []
    overtaken: list[int] = []
    gaps: list[int] = []
    packets = size = duplicates = copies = missing = unordered = behind = 0
    for part, offset in zip(parts, flow.offsets, strict=True):
        samples += (
            [s._replace(frame=s.frame + offset) for s in part.first] if offset else part.first
        )
        if part.gaps or part.repeated or part.overtaken:
            repeated += [frame + offset for frame in part.repeated]
            overtaken += [frame + offset for frame in part.overtaken]
            gaps += [gap.frame + offset for gap in part.gap_samples]
        packets += part.packets
        size += part.bytes
        duplicates += part.duplicates
        copies += part.copies
        missing += part.missing
        unordered += part.late + part.stale - part.misfiled
        behind = max(behind, part.behind)
    frames, times, sizes, _ = zip(*samples[:_SAMPLES], strict=True)
    silences = [p.silence for p in parts if p.silence is not None]
    longest = max(silences, key=lambda s: s.seconds) if silences else None
    return EspFlow(
        t=t(flow.first_ns),
        frames=frames[:4],
        direction=direction,
        spi=f"0x{flow.spi:08x}",
        udp_encapsulated=flow.udp,
        client_port=(flow.src if direction == "out" else flow.dst)[1] if flow.udp else 0,
        packets=packets,
        bytes=size,
        last_t=t(flow.last_ns),
        verified=stats.verified if stats else None,
        bad_integrity=stats.bad if stats else None,
        truncated_to_96=stats.truncated if stats else None,
        replayed=duplicates,
        copies=copies,
        missing=missing,
        out_of_order=unordered,
        late_by=behind,
        replayed_frames=tuple(repeated[:_SHOWN]),
        late_frames=tuple(overtaken[:_SHOWN]),
        gap_frames=tuple(gaps[:_SHOWN]),
        last_frames=tuple([s.frame + flow.offsets[-1] for s in parts[-1].last]),
        longest_silence=longest.seconds if longest else 0.0,
        silence_from=t(longest.from_ns) if longest else 0.0,
        sizes=sizes,
        times=tuple(map(t, times)),
        lowest=min([p.lowest for p in parts if p.packets > p.short], default=None),
        largest=max([max(p.sizes) for p in parts if p.sizes], default=None),
    )
