"""What ``--capture`` and ``--keys-out`` leave of a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vpndiag.cli.exits import UsageError
from vpndiag.observations import Direction
from vpndiag.tunnel.options import GATEWAY_PORTS, Flow

if TYPE_CHECKING:
    from vpndiag.capture.asked import Asked
    from vpndiag.capture.write import CaptureWriter
    from vpndiag.probes.inside import InsidePlan
    from vpndiag.probes.run import LadderRun
    from vpndiag.tunnel.recorder import Address

_FROM_QUEUE = "put together from the socket's error queue"


def asked_of(plan: InsidePlan) -> Asked:
    """What a capture says of the plan of its run."""
    from vpndiag.capture.asked import Asked, AskedApp

    apps = tuple(AskedApp(a.text, a.host, a.port, a.protocol) for a in plan.apps)
    return Asked(plan.internal_names, plan.internal_hosts, apps, plan.internal_domain)


class _Writing:
    """A capture in the making that a full disk ends, and not the run."""

    def __init__(self, path: Path, writer: CaptureWriter, problems: list[str]) -> None:
        self._path, self._writer, self._problems = path, writer, problems
        self._packets = 0
        self._failed = False

    def write(self, time: float, source: Address, destination: Address, data: bytes,
              ttl: int = 64, *, whole: bool = True) -> None:  # fmt: skip
        """One datagram at ``time`` (seconds since 1970)."""
        ends = (source[0], destination[0], source[1], destination[1])
        self._try(lambda: self._writer.write(time, *ends, data, ttl=ttl, whole=whole))

    def write_packet(self, time: float, packet: bytes, comment: str = "") -> None:
        """A whole IP packet."""
        self._try(lambda: self._writer.write_packet(time, packet, comment))

    def _try(self, write: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            write()
            self._packets += 1
        except OSError as error:
            self._failed = True
            self._problems.append(
                f"--capture {self._path}: {error.strerror or error}; it holds the first "
                f"{self._packets} packets"
            )


def capture_to(
    path: Path, run: LadderRun, plan: InsidePlan, problems: list[str]
) -> Callable[[], None]:
    """Write every packet of the run to ``path``, and what ``plan`` wants to know; returns what
    closes it. What goes wrong on the way is told in ``problems``.

    :raises UsageError: it cannot be begun.
    """
    from vpndiag.capture.asked import comment
    from vpndiag.capture.write import CaptureWriter, icmp_error, ip_packet, udp_packet

    try:
        writer = CaptureWriter(path, comment=comment(asked_of(plan)))
    except OSError as error:
        raise UsageError(f"--capture {path}: {error.strerror or error}") from error
    written = _Writing(path, writer, problems)
    epoch = time.time() - time.monotonic()

    def sink(
        now: float,
        flow: Flow,
        direction: Direction,
        source: tuple[str, int],
        destination: tuple[str, int],
        data: bytes,
    ) -> None:
        if flow is Flow.ESP:
            written.write_packet(epoch + now, ip_packet(source[0], destination[0], 50, data))
        else:
            written.write(epoch + now, source, destination, data)

    def icmp_sink(
        now: float, reporter: str, icmp_type: int, code: int, port: int, mtu: int
    ) -> None:
        o = run.options
        flow = next((f for f, number in GATEWAY_PORTS.items() if number == port), Flow.ESP)
        local = {Flow.IKE: o.port_ike, Flow.NATT: o.port_natt}.get(flow, 0)
        if flow is Flow.ESP:
            quoted = ip_packet(o.local, o.gateway, 50, bytes(8))
        else:
            quoted = udp_packet(o.local, o.gateway, local, o.gateway_ports[flow], b"")
        written.write_packet(
            epoch + now,
            icmp_error(reporter, icmp_type, code, quoted, mtu=mtu),
            _FROM_QUEUE,
        )

    def aside_sink(
        now: float,
        source: tuple[str, int],
        destination: tuple[str, int],
        data: bytes,
        ttl: int,
        whole: bool,
    ) -> None:
        written.write(epoch + now, source, destination, data, ttl, whole=whole)

    def aside_icmp_sink(
        now: float,
        reporter: str,
        icmp_type: int,
        code: int,
        source: tuple[str, int],
        destination: tuple[str, int],
        mtu: int,
    ) -> None:
        quoted = udp_packet(source[0], destination[0], source[1], destination[1], b"")
        written.write_packet(
            epoch + now, icmp_error(reporter, icmp_type, code, quoted, mtu=mtu), _FROM_QUEUE
        )

    run.recorder.packet_sink = sink
    run.recorder.icmp_sink = icmp_sink
    run.recorder.aside_sink = aside_sink
    run.recorder.aside_icmp_sink = aside_icmp_sink
    return writer.close


def write_keys_to(place: Path, run: LadderRun, problems: list[str]) -> None:
    """The keys of this run, as Wireshark and ``vpndiag analyze --keys`` read them."""
    from vpndiag.capture.keys import EspKey, write_keys
    from vpndiag.tunnel.suites import suite_of

    keys = run.keys()
    esp: list[EspKey] = []
    for child in keys.children:
        suite = suite_of(child.transform)
        for spi, enc, auth, source, destination in (
            (child.spi_out, child.enc_key_out, child.auth_key_out, keys.client, keys.gateway),
            (child.spi_in, child.enc_key_in, child.auth_key_in, keys.gateway, keys.client),
        ):
            number = int.from_bytes(spi, "big")
            esp.append(EspKey(number, suite, enc, auth, source, destination))
    try:
        write_keys(place, ike=keys.ike, esp=esp)
    except OSError as error:
        problems.append(f"--keys-out {place}: {error.strerror or error}")
