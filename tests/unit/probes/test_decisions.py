"""What ends a run, and which questions are still worth repeating."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from vpndiag.probes.decisions import Decisions
from vpndiag.probes.patience import Patience
from vpndiag.probes.silent_l2tp import SilentL2tp
from vpndiag.protocols.ike import events
from vpndiag.protocols.ike.constants import ProtocolId
from vpndiag.protocols.l2tp import events as l2tp_events
from vpndiag.protocols.l2tp.constants import MessageType
from vpndiag.protocols.ppp import events as ppp_events
from vpndiag.protocols.ppp.auth import AuthMethod


class Questions:
    primary = natt = None
    all_done = ikev2_alone = False

    def __init__(self) -> None:
        self.settled: tuple[str, ...] = ()

    def settle(self, *names: str) -> None:
        self.settled = names

    def answered(self, name: str) -> bool:
        return False

    def ask(self, name: str, now: float) -> None: ...

    def ask_natt(self, now: float) -> None: ...


def decided(*seen: object, children: tuple[object, ...] = ()) -> tuple[str, Questions]:
    """How a run stands a second after these events."""
    stack: Any = SimpleNamespace(
        events=deque(seen), ikes=SimpleNamespace(children=children, alive=True), lossy=False,
        options=SimpleNamespace(port_natt=None),
    )  # fmt: skip
    through: Any = SimpleNamespace(event=lambda *_: None, done=False, waiting=False)
    options: Any = SimpleNamespace(plain_l2tp=False)
    questions: Any = Questions()
    decisions = Decisions(options, stack, questions, Patience(), through, 0.0)
    decisions.decide(1.0, all_sent=True)
    decisions.decide(2.0, all_sent=True)
    return decisions.over, questions


def delete(protocol: int) -> events.DeleteReceived:
    return events.DeleteReceived(protocol, (b"1234",), events.Trust.AUTHENTICATED)


@pytest.mark.parametrize(
    ("what", "left", "over"),
    [
        (ProtocolId.ESP, (), "stopped"),
        (ProtocolId.ESP, ("a child",), ""),
        (ProtocolId.ISAKMP, (), ""),
    ],
    ids=["our last ESP SA", "one of two", "an IKE SA that a question began"],
)
def test_a_delete_ends_the_run_when_nothing_is_left(
    what: int, left: tuple[object, ...], over: str
) -> None:
    """SoftEther says goodbye to half-open IKE SAs, of our own questions, within the established
    one; a quick mode that both sides began leaves two pairs of ESP SAs."""
    up = object.__new__(events.QuickModeEstablished)
    assert decided(up, delete(what), children=left)[0] == over


def test_a_delete_of_an_esp_sa_that_is_not_ours_yet_ends_nothing() -> None:
    """SoftEther drops those of a main mode that was begun before."""
    assert decided(delete(ProtocolId.ESP))[0] == ""


def test_our_own_ike_sa_is_another_matter() -> None:
    assert decided(events.Deleted(by_peer=True))[0] == "stopped"


def test_once_an_offer_is_chosen_the_other_questions_are_settled() -> None:
    """Each of them leaves a half-open SA on the gateway, which counts them."""
    chosen = object.__new__(events.ProposalChosen)
    questions = decided(chosen)[1]
    assert set(questions.settled) == {"ikev2", "other-offer", "other-method", "aggressive"}


@pytest.mark.parametrize(
    "event", [events.TimedOut("MM6", 12), events.TimedOut("QM2", 12), events.Deleted(True)]
)
@pytest.mark.parametrize("lossy", [True, False])
def test_a_path_that_loses_packets_is_tried_anew_a_few_times(event: object, lossy: bool) -> None:
    """Libreswan repeats an answer three times and no more: all of them may be lost."""
    begun: list[float] = []
    options: Any = SimpleNamespace(plain_l2tp=False)
    stack: Any = SimpleNamespace(
        events=deque([event]), lossy=lossy, begin_anew=lambda now: not begun.append(now),
        options=SimpleNamespace(port_natt=None), ikes=SimpleNamespace(children=()),
    )  # fmt: skip
    through: Any = SimpleNamespace(event=lambda *_: None, done=False, waiting=False)
    questions: Any = Questions()
    patience = Patience()
    patience.heard, patience.lossy = True, lossy
    decisions = Decisions(options, stack, questions, patience, through, 0.0)
    decisions.decide(1.0, all_sent=True)
    assert begun == ([1.0] if lossy else [])
    assert not (lossy and decisions.over)
    assert patience("MM6", 13) is not None, "and is then asked for longer"
    for now in range(2, 9):
        stack.events.append(event)
        decisions.decide(float(now), all_sent=True)
    assert begun == ([1.0, 2.0, 3.0] if lossy else [])
    assert decisions.over == "stopped" or event == events.TimedOut("MM6", 12)


@pytest.mark.parametrize(
    ("before", "after", "asked"), [(True, True, True), (False, False, True), (False, True, False)]
)
def test_an_answer_from_before_message_5_does_not_show_that_the_gateway_is_still_there(
    before: bool, after: bool, asked: bool
) -> None:
    message: Any = None
    proof = events.MessageSent("MM5", message, (), b"", natt=True, retransmission=False)
    stack: Any = SimpleNamespace(
        events=deque([object.__new__(events.ProposalChosen), proof]),
        ikes=SimpleNamespace(children=(), alive=True), lossy=False,
        options=SimpleNamespace(port_natt=4500),
    )  # fmt: skip
    through: Any = SimpleNamespace(event=lambda *_: None, done=False, waiting=False)
    questions: Any = Questions()
    names: list[str] = []
    questions.ask = lambda name, _now: names.append(name)
    questions.natt = SimpleNamespace(answered=before, done=before)
    options: Any = SimpleNamespace(plain_l2tp=False)
    decisions = Decisions(options, stack, questions, Patience(), through, 0.0)
    decisions.decide(1.0, all_sent=True)
    questions.natt.answered = after
    decisions.decide(2.9, all_sent=True)
    assert "again" not in names
    decisions.decide(4.1, all_sent=True)
    assert ("again" in names) == asked


def test_a_quick_mode_beside_the_one_in_use_may_fail() -> None:
    """SoftEther begins quick modes of its own, and may never complete them."""
    silent = events.TimedOut("QM3", 36, message_id=7)
    assert decided(silent, children=("a child",))[0] == ""
    assert decided(silent)[0] == "stopped"


def lossy_run(*seen: object) -> tuple[Decisions, Any, list[float]]:
    """A run that has lost packets, after these events."""
    begun: list[float] = []
    stack: Any = SimpleNamespace(
        events=deque(seen), begin_anew=lambda now: not begun.append(now),
        options=SimpleNamespace(port_natt=None), agreed=[],
        ikes=SimpleNamespace(children=(), alive=False),
    )  # fmt: skip
    through: Any = SimpleNamespace(event=lambda *_: None, done=False, waiting=False)
    patience = Patience()
    patience.heard = patience.lossy = True
    options: Any = SimpleNamespace(plain_l2tp=False)
    questions: Any = Questions()
    decisions = Decisions(options, stack, questions, patience, through, 0.0)
    decisions.decide(1.0, all_sent=True)
    return decisions, stack, begun


UP = object.__new__(events.QuickModeEstablished)
ICRP: Any = SimpleNamespace(message_type=MessageType.ICRP)


@pytest.mark.parametrize("end", [events.Deleted(by_peer=True), delete(ProtocolId.ESP)])
def test_an_sa_that_the_gateway_ends_before_the_session_is_up_is_made_anew(end: object) -> None:
    """SoftEther takes it away 5 s after it was made."""
    answered = l2tp_events.MessageReceived(ICRP, b"")
    for seen in ((UP, end), (UP, answered, end)):
        assert lossy_run(*seen)[2] == [1.0]
    refused = ppp_events.AuthResult(AuthMethod.MSCHAPV2, ok=False)
    assert lossy_run(UP, answered, refused, end)[2] == []


def test_an_ike_sa_that_is_not_established_is_not_asked_whether_it_lives() -> None:
    vendor_ids = events.PeerVendorIds((bytes.fromhex("afcad71368a1f1c96b8696fc77570100"),))
    decisions, _, _ = lossy_run(vendor_ids, UP)
    decisions.decide(2.7, all_sent=True)
    assert not decisions.over


@pytest.mark.parametrize("heard_at", [0.0, 30.0])
def test_ppp_that_does_not_go_on_is_begun_anew_with_a_gateway_that_lives(heard_at: float) -> None:
    """SoftEther says its Challenge five times, and HELLO for ever; one that hangs says nothing."""
    answered = l2tp_events.MessageReceived(ICRP, b"")
    decisions, stack, begun = lossy_run(UP, answered)
    stack.l2tp = SimpleNamespace(heard_at=heard_at)
    stack.events.append(ppp_events.TimedOut("CHAP Challenge", 26))
    decisions.decide(35.0, all_sent=True)
    assert begun == ([35.0] if heard_at else [])


def test_an_answer_to_other_questions_and_not_to_message_1_calls_for_a_new_one_once() -> None:
    """strongSwan and Libreswan repeat an answer three times and no more."""
    for lossy in (True, False):
        decisions, stack, begun = lossy_run(events.TimedOut("MM2", 8))
        decisions.patience.lossy = lossy
        stack.events.append(events.TimedOut("MM2", 16))
        decisions.decide(20.0, all_sent=True)
        assert begun == [1.0]


def test_but_not_when_only_ikev2_is_answered() -> None:
    decisions, stack, begun = lossy_run()
    decisions.questions.ikev2_alone = True  # type: ignore[misc]
    stack.events.append(events.TimedOut("MM2", 8))
    decisions.decide(5.0, all_sent=True)
    assert begun == []


@pytest.mark.parametrize("kind", [MessageType.SCCRP, None, MessageType.ICRP])
@pytest.mark.parametrize("ipsec", [True, False])
def test_which_repeats_of_l2tp_are_a_sign_of_loss(kind: MessageType | None, ipsec: bool) -> None:
    """A gateway answers the first request late when its SA is not in place yet, or L2TP not
    loaded."""
    message: Any = SimpleNamespace(message_type=kind)
    sent: Any = SimpleNamespace(message_type=MessageType.SCCRQ)
    decisions, stack, _ = lossy_run(*([UP] if ipsec else []))
    decisions.patience.lossy = False
    stack.events.append(l2tp_events.MessageSent(sent, b"", 1))
    stack.events.append(l2tp_events.MessageReceived(message, b""))
    decisions.decide(2.0, all_sent=True)
    assert decisions.patience.lossy is not (ipsec and kind == MessageType.SCCRP)


def test_a_run_that_began_anew_ends_when_nothing_answers_it_any_more() -> None:
    """The gateway had chosen a proposal before, so no other question is due."""
    chosen = object.__new__(events.ProposalChosen)
    decisions, stack, begun = lossy_run(chosen, events.TimedOut("MM4", 12))
    assert begun == [1.0]
    stack.events.append(events.TimedOut("MM2", 17))
    decisions.decide(20.0, all_sent=True)
    assert decisions.over == "stopped"


def test_vendor_ids_of_a_later_message_do_not_take_back_those_of_an_earlier_one() -> None:
    silent = SilentL2tp(None)
    silent.note_vendor_ids((bytes.fromhex("afcad71368a1f1c96b8696fc77570100"),))
    silent.note_vendor_ids((bytes(16),))
    assert silent._dpd_supported
