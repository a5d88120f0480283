"""When a run looks where its packets die, and what it asks then."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from vpndiag.cli.run import RunOptions, plan_of
from vpndiag.observations import (
    ControlCheck,
    Ended,
    IcmpError,
    IkeMessage,
    NameAnswer,
    Observation,
)
from vpndiag.probes.aside import Beside
from vpndiag.probes.way import controls, explore
from vpndiag.probes.way.explore import SILENT_AFTER, Explore
from vpndiag.probes.way.other_addresses import ask_other_addresses
from vpndiag.tunnel.options import TunnelOptions


def ike(t: float, port: int, step: str = "MM1", direction: str = "out") -> IkeMessage:
    return IkeMessage(
        t=t, direction=direction, step=step, port=port, initiator_cookie="1" * 16, version=1,  # type: ignore[arg-type]
        exchange=2, message_id=0, responder_cookie="0" * 16, protection="clear", size=100,
    )  # fmt: skip


class Run:
    """What an aside sees of a run, without one."""

    def __init__(self, now: float, *seen: Observation) -> None:
        self._now = now
        self.observations = seen
        self.ended = next((o for o in seen if isinstance(o, Ended)), None)

    def t(self) -> float:
        return self._now

    def asked(self, port: int) -> list[IkeMessage]:
        return self._ike("out", port)

    def answered(self, port: int) -> list[IkeMessage]:
        return self._ike("in", port)

    def _ike(self, direction: str, port: int) -> list[IkeMessage]:
        found = [o for o in self.observations if isinstance(o, IkeMessage)]
        return [m for m in found if m.direction == direction and m.port == port]


def silent(now: float, *seen: Observation) -> set[int]:
    return set(explore._silent(cast(Beside, Run(now, *seen))))


REFUSED = IcmpError(t=0.2, what="port-unreachable", icmp_type=3, icmp_code=3, reporter="192.0.2.1",
                    from_gateway=True, port=500)  # fmt: skip
LOOP = IcmpError(t=0.2, what="ttl-exceeded", icmp_type=11, icmp_code=0, reporter="192.0.2.1",
                 from_gateway=False, port=500)  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "ports"),
    [
        ([ike(0.0, 500)], {500}),
        ([ike(0.0, 500), ike(0.5, 4500)], {500, 4500}),
        ([ike(0.0, 500), ike(0.1, 500, "MM2", "in")], set()),
        ([ike(0.0, 500), ike(0.1, 500, "MM2", "in"), ike(0.4, 4500)], {4500}),
        ([ike(0.0, 500), ike(0.1, 500, "MM2", "in"), ike(0.4, 4500, "MM5")], set()),
        ([ike(0.0, 500), ike(0.5, 4500), ike(0.6, 4500, "MM2", "in")], {500}),
        ([ike(0.0, 500), REFUSED], set()),
        ([ike(0.0, 500), LOOP], {500}),
        ([ike(0.0, 500), Ended(t=0.5, why="stopped")], set()),
    ],
    ids=["500", "both", "answered", "4500", "message 5", "500 only", "refused", "loop", "ended"],
)  # fmt: skip
def test_which_ports_are_silent(seen: list[Observation], ports: set[int]) -> None:
    assert silent(2.0, *seen) == ports
    assert silent(SILENT_AFTER - 0.1, *seen) == set()


def test_the_reference_gateway_comes_from_the_profile(tmp_path: Path) -> None:
    profile = tmp_path / "corp.toml"
    profile.write_text('gateway = "vpn.example.com"\nreference_gateway = "vpn2.example.com"\n')
    aside, *_others = plan_of(RunOptions(host=str(profile))).asides
    assert isinstance(aside, Explore) and aside.reference == "vpn2.example.com"
    given = RunOptions(host=str(profile), reference="192.0.2.9")
    assert cast(Any, plan_of(given).asides[0]).reference == "192.0.2.9"


@pytest.fixture
def port() -> Iterator[int]:
    """A TCP port on which somebody listens, and whose neighbour is closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_tcp(port: int) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        free = int(closed.getsockname()[1])
    open_ = asyncio.run(controls.tcp("127.0.0.1", port, lambda: 1.0))
    shut = asyncio.run(controls.tcp("127.0.0.1", free, lambda: 1.0))
    assert (open_.outcome, shut.outcome) == ("answered", "refused")
    assert (open_.role, open_.what, open_.port) == ("gateway", "tcp", port)


@pytest.mark.parametrize(("marker", "outcome"), [(b"", "answered"), (bytes(4), "answered")])
def test_ike_is_answered(marker: bytes, outcome: str) -> None:
    message = b"cookie!!" + bytes(20)

    class Peer(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.transport.sendto(marker + data[:8] + b"answer", addr)

    async def story() -> str:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Peer, local_addr=("127.0.0.1", 0))
        try:
            where = transport.get_extra_info("sockname")[1]
            asked = controls.ike("reference", "it", "127.0.0.1", where, message, lambda: 1.0)
            return (await asked).outcome
        finally:
            transport.close()

    assert asyncio.run(story()) == outcome


def test_ike_to_a_closed_port_is_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        free = int(closed.getsockname()[1])
    asked = controls.ike("reference", "it", "127.0.0.1", free, bytes(28), lambda: 1.0)
    assert asyncio.run(asked).outcome == "refused"


def test_a_port_that_falls_silent_after_another_has_answered_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The gateway is slow with message 2, and UDP 4500 is blocked."""
    slow = ike(0.0, 500)
    answered = (slow, ike(1.5, 500, "MM2", "in"), ike(1.5, 4500))
    added: list[Observation] = []

    class Going(Run):
        options = SimpleNamespace(plain_l2tp=False, gateway="192.0.2.1")
        heard = True
        add = staticmethod(added.append)

        async def until(self, what: object, seconds: float) -> None:
            self._now = 3.0

    run = Going(1.2, slow)
    traces: list[float] = []

    async def trace(beside: Beside, found: list[Observation]) -> None:
        traces.append(run.t())
        if len(traces) == 1:
            run._now, run.observations = 1.6, answered
            await asyncio.Event().wait()  # goes on until message 2 is seen
        found.append(LOOP)

    monkeypatch.setattr(explore, "LOOK_EVERY", 0.001)
    monkeypatch.setattr(explore, "_trace", trace)
    asyncio.run(Explore()(cast(Beside, run)))
    assert traces == [1.2, 3.0] and added == [LOOP]


def test_every_other_address_of_the_name_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    async def ike(
        role: str, target: str, address: str, port: int, message: bytes, now: Any
    ) -> ControlCheck:
        asked.append((address, port))
        return ControlCheck(t=1.0, role=role, what="ike", target=target, address=address,  # type: ignore[arg-type]
                            port=port, outcome="silent")  # fmt: skip

    monkeypatch.setattr(controls, "ike", ike)
    addresses = ("192.0.2.1", "192.0.2.2", "2001:db8::3")
    answer = NameAnswer(t=0.0, name="vpn.example.com", rrtype="A", resolver="192.0.2.53",
                        outcome="answered", addresses=addresses)  # fmt: skip
    options = TunnelOptions(gateway="192.0.2.1", local="192.0.2.9", gateway_name="vpn.example.com")
    kept: list[Observation] = []
    run = SimpleNamespace(options=options, names=[answer], t=lambda: 1.0, add=kept.append)
    asyncio.run(ask_other_addresses(cast(Beside, run)))
    assert asked == [("192.0.2.2", 500), ("2001:db8::3", 500)]
    assert [cast(Any, o).role for o in kept] == ["other-address"] * 2
