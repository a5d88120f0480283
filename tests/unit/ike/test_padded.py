"""IKE messages of a chosen size: exactly that size, well formed, and known again."""

from __future__ import annotations

import pytest

from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.ike import foreign
from vpndiag.protocols.ike.message import decode
from vpndiag.protocols.ike.padded import QUESTIONS, Padded, Question, padded, read_padded
from vpndiag.protocols.ike.payloads import SaPayload, VendorIdPayload

COOKIE = b"12345678"


def made(question: Question, size: int = 500, *, whole: bool = True) -> bytes:
    return padded(question, COOKIE, size, whole=whole, random=lambda n: b"\x55" * n)


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("size", [172, 500, 1468, 1972])
def test_it_has_the_size_asked_for_and_decodes(question: Question, size: int) -> None:
    message = made(question, size)
    assert len(message) == size == int.from_bytes(message[24:28], "big")
    assert message[:8] == COOKIE
    payloads = decode(message[:17] + b"\x10" + message[18:]).payloads
    assert isinstance(payloads[-1], VendorIdPayload)
    assert any(isinstance(p, SaPayload) for p in payloads) == (question == "refused-proposal")


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("whole", [True, False])
def test_it_is_known_again_even_by_its_beginning(question: Question, whole: bool) -> None:
    message = made(question, 1972, whole=whole)
    assert read_padded(message) == Padded(question, whole)
    assert read_padded(message[:150]) == Padded(question, whole)


@pytest.mark.parametrize("question", QUESTIONS)
def test_too_small_is_refused(question: Question) -> None:
    with pytest.raises(LocalProtocolError):
        made(question, 40)


def test_no_other_message_is_taken_for_one() -> None:
    whole = made("refused-proposal")
    for cut in range(120):
        read_padded(whole[:cut])  # raises nothing
    assert read_padded(whole[:60]) is None
    assert read_padded(foreign.ikev2_sa_init(lambda n: bytes(n))) is None
    assert read_padded(b"\0" * 200) is None


def test_only_the_question_about_versions_is_of_no_known_version() -> None:
    assert {q: made(q)[17] for q in QUESTIONS} == {
        "unknown-cookie": 0x10, "version": 0x30, "refused-proposal": 0x10,
    }  # fmt: skip


def test_how_a_gateway_answers_the_question_about_versions() -> None:
    """RFC 7296 section 2.5: INVALID_MAJOR_VERSION, under the cookies of the request."""
    answer = decode(foreign.version_refusal(made("version")))
    assert answer.is_ikev2 and answer.v2_notify_types == (5,)
    assert answer.header.initiator_cookie == COOKIE
