"""Several IKE SAs of one tunnel: which one is in use."""

from __future__ import annotations

from typing import Any

from tests.sim.network import Draw, client_options
from vpndiag.protocols.ike import events
from vpndiag.protocols.ike.engine import IkeState
from vpndiag.tunnel.ike_sas import IkeSas
from vpndiag.tunnel.recorder import Recorder
from vpndiag.tunnel.stack import Stack


def begun_anew() -> IkeSas:
    """An established IKE SA without an answer to its quick mode, and a main mode beside it."""
    stack = Stack(client_options(), Draw("keys"), Recorder(0.0))
    assert stack.ikes is not None
    sas = stack.ikes
    sas.start(0.0)
    sas.current.engine.state = IkeState.ESTABLISHED
    sas.begin_anew(5.0)
    return sas


def say(sas: IkeSas, number: int, event: Any) -> list[Any]:
    """The tunnel's events once IKE SA ``number`` has told this one."""
    sas.events.clear()
    sas.all[number].events.append(event)
    sas._collect(sas.all[number])
    return list(sas.events)


UP = object.__new__(events.QuickModeEstablished)


def test_the_silence_and_the_end_of_an_ike_sa_begun_anew_are_no_news() -> None:
    sas = begun_anew()
    for event in (events.Deleted(by_peer=True), events.TimedOut("QM2", 12, 7)):
        assert say(sas, 0, event) == []
        assert say(sas, 1, event) == [event]


def test_whichever_has_an_ipsec_sa_first_is_the_one_in_use() -> None:
    """SoftEther begins a quick mode of its own, while the client begins anew."""
    sas = begun_anew()
    first = sas.all[0]
    assert say(sas, 0, UP) == [UP]
    assert sas.current is first and sas.all == [first]


def test_a_new_ike_sa_takes_the_place_of_one_that_stays_silent() -> None:
    sas = begun_anew()
    second = sas.all[1]
    up = object.__new__(events.PhaseOneEstablished)
    second.engine.state = IkeState.ESTABLISHED
    assert say(sas, 1, up) == [up]
    assert sas.current is second and len(sas.all) == 2, "the first is said goodbye to in the end"
