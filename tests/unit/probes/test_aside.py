"""Asides: questions beside a run, which never cost its report."""

from __future__ import annotations

import asyncio

from vpndiag.observations import Ended, SendError
from vpndiag.probes.aside import Beside, cancel, finish_asides, start_asides
from vpndiag.probes.run import LadderRun
from vpndiag.tunnel.options import TunnelOptions


def a_run() -> LadderRun:
    options = TunnelOptions(gateway="198.51.100.2", local="192.0.2.1")
    run = LadderRun(options, lambda count: b"\x05" * count, start=100.0)
    run.start(100.0)
    return run


def test_what_it_sees_is_kept_after_the_end_and_moves_nothing() -> None:
    run = a_run()
    beside = Beside(run, clock=lambda: 104.0)
    run.end(103.0)
    beside.add(SendError(t=beside.t(), port=500, error="EPERM"))
    kept = run.recorder.observations()
    assert kept[-1] == SendError(t=4.0, port=500, error="EPERM")
    assert beside.ended == Ended(t=3.0, why="stopped")
    run.recorder.add(SendError(t=5.0, port=500, error="EPERM"))
    assert run.recorder.observations() == kept


def test_its_packets_are_numbered_with_those_of_the_run() -> None:
    run = a_run()
    beside = Beside(run, clock=lambda: 100.5)
    written: list[tuple[object, ...]] = []
    run.recorder.aside_sink = lambda *packet: written.append(packet)
    run.recorder.aside_icmp_sink = lambda *error: written.append(error)
    before = len(run.packets_to_send(100.0))
    here, there = ("192.0.2.1", 40000), ("198.51.100.2", 500)
    assert beside.packet(here, there, b"x", 3) == before + 1
    assert beside.icmp("10.0.0.1", 11, 0, here, there) == (before + 2,)
    assert beside.icmp(None, 3, 3, here, there) == ()
    assert written == [
        (100.5, here, there, b"x", 3, True),
        (100.5, "10.0.0.1", 11, 0, here, there, 0),
    ]
    assert len(beside.asked(500)) == 1 and not beside.answered(500) and not beside.heard


def test_until_wakes_when_something_happened() -> None:
    async def story() -> tuple[bool, bool]:
        run = a_run()
        beside = Beside(run)
        waiting = asyncio.ensure_future(beside.until(lambda: beside.ended is not None))
        await asyncio.sleep(0)
        run.end(103.0)
        beside.changed()
        in_vain = await beside.until(lambda: False, 0.0)
        return await waiting, in_vain

    assert asyncio.run(story()) == (True, False)


def test_a_fault_is_a_note_and_ctrl_c_ends_the_rest() -> None:
    left: list[str] = []

    async def faulty(beside: Beside) -> None:
        raise OSError("no more sockets")

    async def endless(beside: Beside) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            left.append("closed")

    async def story() -> list[str]:
        stop = asyncio.Event()
        tasks = start_asides((faulty, endless), Beside(a_run()))
        await asyncio.sleep(0)
        stop.set()
        return await finish_asides(tasks, stop)

    assert asyncio.run(story()) == [
        "A further question could not be asked: OSError: no more sockets"
    ]
    assert left == ["closed"]


def test_all_are_waited_for() -> None:
    async def quick(beside: Beside) -> None:
        await asyncio.sleep(0)
        beside.add(SendError(t=1.0, port=1, error="x"))

    async def story() -> int:
        run = a_run()
        tasks = start_asides((quick, quick), Beside(run))
        assert await finish_asides(tasks, asyncio.Event()) == []
        cancel(tasks)
        return sum(isinstance(o, SendError) for o in run.recorder.observations())

    assert asyncio.run(story()) == 2
