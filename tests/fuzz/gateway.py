"""A gateway whose answers are damaged at every stage, also inside what it encrypts and proves.

    python -m tests.fuzz.gateway [ROUNDS] [SEED]

Each round is a run in the simulated network against the embedded gateway, whole or broken. What the
gateway says is damaged at one stage: the datagram, the payloads of IKE (before they are hashed and
encrypted, so that the client believes them), or what is inside ESP (L2TP, PPP, IP, DNS). A round
fails when anything is raised, when the run does not end, or when a layer is blamed that comes
before the first damage. The last line counts rounds, failures and verdicts.
"""

from __future__ import annotations

import io
import random
import resource
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rich.console import Console

from tests.sim.network import VERIFY_TIME, Network, Result, Simulation, client_options, reuse_dh
from vpndiag.gateway import Gateway, GatewayConfig
from vpndiag.gateway.breaks import BREAKS
from vpndiag.probes.inside import InsidePlan, parse_app
from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.esp import transport
from vpndiag.protocols.ike import message as ike_message
from vpndiag.protocols.ike.payloads.base import Payload
from vpndiag.protocols.ppp.auth import AuthMethod
from vpndiag.render.terminal import print_report
from vpndiag.report.document import Report, Tool, to_json
from vpndiag.report.model import LADDER
from vpndiag.tunnel.options import Flow

SECONDS = 20.0
"""Of processor time: more for one run is a hang."""
PLAN = InsidePlan(
    apps=(parse_app("files.corp.example:445"),),
    internal_names=("intranet.corp.example",),
    internal_hosts=("10.99.0.80",),
)
FIRST = {"wire": "path", "ike": "ike", "esp": "l2tp", "clear": "l2tp"}
"""The first layer that damage of a stage can reach."""
SILENT = ("path.lossy", "path.dpd-timeout")
"""Whatever is damaged, the client may hear nothing that it understands any more."""
NUMBERS = (0, 1, 2, 3, 4, 0x7F, 0x80, 0xFE, 0xFF)


def damaged(data: bytes, draw: random.Random, seen: list[bytes]) -> bytes:
    """``data`` with a few changes; ``seen``: what was sent before."""
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        at = draw.randrange(len(out) + 1)
        match draw.randrange(11):
            case 0:
                del out[at:]
            case 1 | 2 if out:
                out[min(at, len(out) - 1)] ^= 1 << draw.randrange(8)
            case 3 | 4 if out:
                out[min(at, len(out) - 1)] = draw.choice(NUMBERS)
            case 5 if len(out) > 1:  # lengths and types
                word = draw.choice((0, 1, 4, len(out), len(out) + 1, 0x7FFF, 0x8000, 0xFFFF))
                at = min(at, len(out) - 2)
                out[at : at + 2] = (word & 0xFFFF).to_bytes(2, "big")
            case 6:
                out[at:at] = out[at : at + draw.randrange(1, 64)] * draw.choice((1, 2, 40, 300))
            case 7:
                out[at:at] = draw.randbytes(draw.choice((1, 4, 60, 1500)))
            case 8 if seen:
                out = bytearray(draw.choice(seen))
            case 9:
                out += bytes((draw.choice(NUMBERS),)) * draw.choice((1, 8, 600, 60_000))
            case 10:
                del out[at : at + draw.randrange(1, 20)]
    return bytes(out[:65_400])


class Damage:
    """What is done to the gateway's messages from the ``begin``-th on, one of ``every``; 0: to that
    one alone."""

    def __init__(self, draw: random.Random, begin: int, every: int) -> None:
        self._draw, self._begin, self._every = draw, begin, every
        self._count = 0
        self._done: dict[bytes, bytes] = {}
        self._seen: list[bytes] = []
        self.active = False
        """The gateway is at work: the client's own messages are left alone."""
        self.made = 0

    def __call__(self, data: bytes) -> bytes:
        """Twice asked for the same it is the same: what is hashed is what is sent."""
        if data in self._done:
            return self._done[data]
        self._count += 1
        changed = data
        due = self._count >= self._begin and not self._draw.randrange(self._every or 1)
        if due if self._every else self._count == self._begin:
            changed = damaged(data, self._draw, self._seen)
            self.made += changed != data
        self._seen = [*self._seen[-30:], data]
        if len(self._done) < 5000:
            self._done[data] = changed
        return changed


@contextmanager
def at_work(damage: Damage, stage: str) -> Iterator[None]:
    """Client and gateway share the engines' code; only the gateway's use of it is changed."""
    undo: list[Callable[[], None]] = []

    def put(place: Any, name: str, value: object) -> None:
        before = place.__dict__[name]
        undo.append(lambda: setattr(place, name, before))
        setattr(place, name, value)

    def noted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any) -> Any:
            damage.active = True
            try:
                return call(*given)
            except LocalProtocolError:
                return []  # too large to be sent
            finally:
                damage.active = False

        return wrapped

    for name in ("receive", "handle_timer", "packets_to_send"):
        put(Gateway, name, noted(getattr(Gateway, name)))
    if stage == "ike":
        body = Payload.body.fget
        encode = ike_message.encode_payloads
        assert body is not None

        def changed_body(self: Payload) -> bytes:
            found: bytes = body(self)
            return damage(found) if damage.active and self.raw is None else found

        def changed_chain(payloads: Any) -> bytes:
            found = encode(payloads)
            return damage(found) if damage.active else found

        if damage._draw.randrange(2):
            put(Payload, "body", property(changed_body))
        else:
            for module in list(sys.modules.values()):
                if getattr(module, "encode_payloads", None) is encode:
                    put(module, "encode_payloads", changed_chain)
    elif stage == "esp":
        wrap = transport.l2tp_datagram

        def changed(datagram: bytes, *given: Any) -> bytes:
            return wrap(damage(datagram) if damage.active else datagram, *given)

        put(transport, "l2tp_datagram", changed)
    try:
        yield
    finally:
        for back in undo:
            back()


class OnTheWire(Simulation):
    """The gateway's datagrams are damaged, sent again, held back, or multiplied."""

    damage: Damage
    draw: random.Random

    def deliver(self, client: int, flow: Flow, data: bytes, source: tuple[str, int]) -> None:
        changed = self.damage(data)
        super().deliver(client, flow, changed, source)
        if changed == data:
            return
        match self.draw.randrange(6):
            case 0:
                super().deliver(client, flow, data, source)
            case 1:
                for n in range(self.draw.choice((3, 50, 400))):
                    self.at(self.now + n * 0.01,
                            lambda _: self.receive(client, flow, changed, source))  # fmt: skip
            case 2:
                other = self.draw.choice((Flow.IKE, Flow.NATT, Flow.L2TP))
                super().deliver(client, other, data, source)


def play(seed: int) -> tuple[str, Result]:
    """One round; what was done, and what came of it."""
    draw = random.Random(seed)
    stage = draw.choice(("wire", "ike", "ike", "esp", "esp", "esp", "clear"))
    config, options, fault = GatewayConfig(), client_options(), ""
    if draw.randrange(3) == 0:
        fault = draw.choice([name for name, b in BREAKS.items() if not b.soak])
        config, options = BREAKS[fault].apply(config, options, VERIFY_TIME)
    elif stage in ("esp", "clear"):
        method = draw.choice(("mschapv2", "pap", "chap-md5", "eap"))
        config = replace(config, ppp_methods=(AuthMethod(method),))
    if stage == "clear":
        config, options = replace(config, plain_l2tp=True), replace(options, plain_l2tp=True)
    many = {"wire": 14, "ike": 8}.get(stage, 60)
    damage = Damage(draw, draw.randrange(1, many), draw.choice((0, 0, 1, 2, 4)))
    kind = OnTheWire if stage in ("wire", "clear") else Simulation
    simulation = kind([options], config, Network(), seed, PLAN if draw.randrange(2) else
                      InsidePlan())  # fmt: skip
    if isinstance(simulation, OnTheWire):
        simulation.damage, simulation.draw = damage, draw
    with at_work(damage, stage):
        result = simulation.run(400.0)[0]
    what = f"seed {seed}: {stage}, {damage.made} damaged, {fault or 'whole'}"
    judged(stage, fault, damage, result)
    return what, result


def judged(stage: str, fault: str, damage: Damage, result: Result) -> None:
    """:raises AssertionError: the verdict cannot be right, or cannot be shown."""
    verdict = result.diagnosis.verdict
    found = result.diagnosis
    report = Report(
        tool=Tool("vpndiag", "0"), run_id="", command="run", started_at="", ended_at="",
        verdict=verdict, layers=found.layers, findings=found.findings,
        observations=tuple(sorted(result.observations, key=lambda o: o.t)),  # type: ignore[arg-type]
    )  # fmt: skip
    assert len(to_json(report)) < 20_000_000
    shown = io.StringIO()
    print_report(report, Console(file=shown, width=100))
    assert not set(shown.getvalue()) & {chr(n) for n in range(32) if n != 10}, "not made visible"
    assert verdict.outcome in ("healthy", "failed", "inconclusive")
    if verdict.outcome != "failed":
        return
    main = next(f for f in found.findings if f.code == verdict.finding)
    assert main.evidence, "a finding without evidence is a guess"
    if not fault and damage.made and verdict.layer and verdict.finding not in SILENT:
        early = LADDER.index(verdict.layer) < LADDER.index(FIRST[stage])
        assert not early, f"{verdict.finding}, but only what comes later is damaged"
    assert damage.made or fault, f"{verdict.finding}, and nothing is damaged"


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    reuse_dh()
    failures = 0
    verdicts: Counter[str] = Counter()
    slowest, longest = (0.0, 0), (0.0, 0)
    for seed in range(first, first + rounds):
        began = time.process_time()
        try:
            what, result = play(seed)
        except Exception:
            failures += 1
            print(f"seed {seed}:", traceback.format_exc(limit=-4), flush=True)
            continue
        took = time.process_time() - began
        slowest, longest = max(slowest, (took, seed)), max(longest, (result.seconds, seed))
        verdicts[result.finding or result.outcome] += 1
        if took > SECONDS:
            failures += 1
            print(f"{what}: {took:.1f} s", flush=True)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{rounds} runs, {failures} failures; slowest {slowest[0]:.1f} s (seed {slowest[1]}), "
          f"longest {longest[0]:.0f} virtual s (seed {longest[1]}), {memory} MiB")  # fmt: skip
    print(", ".join(f"{name} {count}" for name, count in verdicts.most_common()))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
