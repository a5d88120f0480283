"""Whoever sees our packets, or only guesses our ports, changes no verdict."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.sim.network import GATEWAY, Line, Network, Result, Simulation, client_options
from tests.sim.test_breaks import BREAKS, VERIFY_TIME, problem
from vpndiag.gateway import GatewayConfig
from vpndiag.protocols.esp.udp import with_marker
from vpndiag.protocols.ike import foreign
from vpndiag.protocols.ike.constants import ExchangeType, NotifyType, ProtocolId
from vpndiag.protocols.ike.message import Header, Message
from vpndiag.protocols.ike.payloads import DeletePayload, NotificationPayload
from vpndiag.tunnel.options import Flow

Tap = Callable[[Simulation, str, Flow, bytes, int], None]
STRANGER = ("203.0.113.66", 4500)


def run(tap: Tap, seed: int = 0, config: GatewayConfig | None = None) -> Result:
    simulation = Simulation([client_options()], config or GatewayConfig(), Network(), seed)
    simulation.taps.append(tap)
    return simulation.run()[0]


def healthy(result: Result) -> None:
    assert result.outcome == "healthy", result.diagnosis.verdict
    errors = {f.code for f in result.diagnosis.findings if f.severity == "error"}
    assert not errors


def now(sim: Simulation, flow: Flow, data: bytes, source: tuple[str, int]) -> None:
    """Quicker than the gateway: the attacker sits next to the client."""
    sim.at(sim.now + 0.001, lambda _now: sim.receive(0, flow, data, source))


def ike(flow: Flow, data: bytes) -> bytes | None:
    """The IKE message in a datagram, without marker."""
    if flow is Flow.IKE:
        return data
    if flow is Flow.NATT and data[:4] == bytes(4):
        return data[4:]
    return None


def on(flow: Flow, message: bytes) -> bytes:
    return with_marker(message) if flow is Flow.NATT else message


def port(flow: Flow) -> tuple[str, int]:
    return GATEWAY, {Flow.IKE: 500, Flow.NATT: 4500, Flow.L2TP: 1701}[flow]


@pytest.mark.parametrize("seed", range(3))
def test_garbage_from_the_gateways_own_address(seed: int) -> None:
    draw = random.Random(seed)

    def tap(sim: Simulation, way: str, flow: Flow, data: bytes, client: int) -> None:
        for _ in range(5):
            now(sim, flow, draw.randbytes(draw.randrange(0, 200)), port(flow))

    healthy(run(tap))


@pytest.mark.parametrize("seed", range(6))
def test_copies_of_what_passes_with_bytes_changed(seed: int) -> None:
    draw = random.Random(seed)

    def tap(sim: Simulation, way: str, flow: Flow, data: bytes, client: int) -> None:
        if way == "down" and len(data) > 40:
            spoilt = bytearray(data)
            for _ in range(draw.randrange(1, 4)):
                # Behind the cookies and SPI, so that the client looks at it at all.
                spoilt[draw.randrange(20, len(spoilt))] ^= 1 << draw.randrange(8)
            encrypted = (ike(flow, data) or b"")[19:20] == b"\x01" or flow is Flow.NATT
            if encrypted:
                now(sim, flow, bytes(spoilt), port(flow))

    healthy(run(tap))


def test_answers_from_another_address() -> None:
    def tap(sim: Simulation, way: str, flow: Flow, data: bytes, client: int) -> None:
        message = ike(flow, data)
        if way == "up" and message is not None:
            refusal = foreign.clear_notify(
                message, NotifyType.NO_PROPOSAL_CHOSEN, random.Random(1).randbytes
            )
            now(sim, flow, on(flow, refusal), STRANGER)
        elif way == "down":
            now(sim, flow, data, STRANGER)

    result = run(tap)
    assert result.outcome == "healthy", result.diagnosis.verdict
    assert "path.answer-from-elsewhere" in result.codes, "told, as a warning"


def test_answers_with_another_cookie() -> None:
    draw = random.Random(1)

    def tap(sim: Simulation, way: str, flow: Flow, data: bytes, client: int) -> None:
        message = ike(flow, data)
        if message is not None and way == "up":
            forged = foreign.clear_notify(
                draw.randbytes(8) + message[8:], NotifyType.NO_PROPOSAL_CHOSEN, draw.randbytes
            )
            now(sim, flow, on(flow, forged), port(flow))

    healthy(run(tap))


@pytest.mark.parametrize(
    "kind",
    [
        NotifyType.NO_PROPOSAL_CHOSEN,
        NotifyType.PAYLOAD_MALFORMED,
        NotifyType.INVALID_COOKIE,
        NotifyType.AUTHENTICATION_FAILED,
        NotifyType.INVALID_MAJOR_VERSION,
    ],
)
@pytest.mark.parametrize("rtt", [0.04, 0.3])
def test_forged_clear_refusals_with_the_right_cookie(kind: NotifyType, rtt: float) -> None:
    """The hard case: someone on the path answers every IKE message before the gateway does."""
    draw = random.Random(1)

    def tap(sim: Simulation, way: str, flow: Flow, data: bytes, client: int) -> None:
        message = ike(flow, data)
        if message is not None and way == "up":
            now(sim, flow, on(flow, foreign.clear_notify(message, kind, draw.randbytes)),
                port(flow))  # fmt: skip

    line = Line(delay=rtt / 2)
    simulation = Simulation([client_options()], GatewayConfig(), Network(up=line, down=line))
    simulation.taps.append(tap)
    healthy(simulation.run()[0])


def test_forged_clear_deletes() -> None:
    draw = random.Random(1)

    def tap(sim: Simulation, way: str, flow: Flow, data: bytes, client: int) -> None:
        message = ike(flow, data)
        if message is None or len(message) < 28:
            return
        header = Header(message[:8], message[8:16], ExchangeType.INFORMATIONAL,
                        message_id=draw.randrange(1, 1 << 32))  # fmt: skip
        delete = DeletePayload(ProtocolId.ISAKMP, (message[:16],))
        note = NotificationPayload(NotifyType.INVALID_COOKIE, ProtocolId.ISAKMP, message[:16])
        now(sim, flow, on(flow, Message(header, (delete, note)).encode()), port(flow))

    healthy(run(tap))


def test_forged_ikev2_and_aggressive_mode_answers() -> None:
    draw = random.Random(1)

    def tap(sim: Simulation, way: str, flow: Flow, data: bytes, client: int) -> None:
        message = ike(flow, data)
        if message is not None and way == "up":
            forged = foreign.ikev2_refusal(message, draw.randbytes)
            now(sim, flow, on(flow, forged), port(flow))

    healthy(run(tap))


def test_undecryptable_informationals_with_the_right_cookies() -> None:
    """They look just like a refusal under another key; the real message 6 still wins."""
    draw = random.Random(1)

    def tap(sim: Simulation, way: str, flow: Flow, data: bytes, client: int) -> None:
        message = ike(flow, data)
        if message is not None and way == "up" and message[8:16] != bytes(8):
            head = message[:16] + b"\x08\x10\x05\x01" + draw.randbytes(4)
            forged = head + (28 + 64).to_bytes(4, "big") + draw.randbytes(64)
            now(sim, flow, on(flow, forged), port(flow))

    healthy(run(tap))


def test_old_packets_again_and_again() -> None:
    draw = random.Random(1)
    kept: list[tuple[Flow, bytes]] = []

    def tap(sim: Simulation, way: str, flow: Flow, data: bytes, client: int) -> None:
        if way == "down":
            kept.append((flow, data))
            for _ in range(3):
                old_flow, old = draw.choice(kept)
                now(sim, old_flow, old, port(old_flow))

    result = run(tap)
    assert result.outcome == "healthy", result.diagnosis.verdict


def test_a_flood_neither_fills_the_memory_nor_changes_the_verdict() -> None:
    draw = random.Random(1)
    sent = 0

    def tap(sim: Simulation, way: str, flow: Flow, data: bytes, client: int) -> None:
        nonlocal sent
        message = ike(flow, data)
        if message is not None and way == "up" and sent < 30_000:
            for _ in range(1500):
                sent += 1
                forged = foreign.clear_notify(
                    message, NotifyType.NO_PROPOSAL_CHOSEN, draw.randbytes
                )
                now(sim, flow, on(flow, forged), port(flow))

    result = run(tap)
    healthy(result)
    assert len(result.observations) <= 21_000


@pytest.mark.parametrize(
    "name", ["auth.psk-mismatch", "login.wrong-password", "l2tp.no-answer", "path.float-blocked"]
)
def test_a_broken_gateway_keeps_its_verdict_under_garbage(name: str) -> None:
    draw = random.Random(7)
    config, options = BREAKS[name].apply(GatewayConfig(), client_options(), VERIFY_TIME)
    simulation = Simulation([options], config, Network())

    def tap(sim: Simulation, way: str, flow: Flow, data: bytes, client: int) -> None:
        now(sim, flow, draw.randbytes(draw.randrange(0, 120)), port(flow))
        now(sim, flow, data[:20] + draw.randbytes(30), STRANGER)

    simulation.taps.append(tap)
    assert problem(name, simulation.run()[0]) == ""


def test_the_gateway_survives_garbage_and_half_open_floods() -> None:
    draw = random.Random(3)
    simulation = Simulation([client_options()], GatewayConfig(), Network())
    gateway = simulation.gateway

    def tap(sim: Simulation, way: str, flow: Flow, data: bytes, client: int) -> None:
        if way != "up":
            return
        number = port(flow)[1]
        for _ in range(20):
            source = (f"203.0.113.{draw.randrange(256)}", draw.randrange(1, 65536))
            gateway.receive(number, draw.randbytes(draw.randrange(0, 200)), source, sim.now)
            message = ike(flow, data)
            if message is not None:
                again = draw.randbytes(8) + message[8:]
                gateway.receive(number, on(flow, again), source, sim.now)

    simulation.taps.append(tap)
    healthy(simulation.run()[0])
    assert gateway.clients <= gateway.config.max_clients
