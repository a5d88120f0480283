"""Rung ``auth``: what each way in which a wrong key shows is called, and how sure we are."""

from __future__ import annotations

import pytest

from vpndiag.diagnosis.ladder import diagnose
from vpndiag.observations import Ended, IkeMessage, IkeNotify, Observation, Scope

COOKIE = "1122334455667788"


def ike(t: float, step: str, **changes: object) -> IkeMessage:
    out = step in ("MM1", "MM3", "MM5")
    values: dict[str, object] = {
        "t": t,
        "frames": (int(t * 10),),
        "direction": "out" if out else "in",
        "step": step,
        "port": 4500 if step in ("MM5", "MM6") else 500,
        "initiator_cookie": COOKIE,
        "version": 1,
        "exchange": 2,
        "message_id": 0,
        "responder_cookie": "8877665544332211",
        "protection": "clear",
        "size": 100,
    }
    if step in ("MM1", "MM2"):
        values["transforms"] = ("AES-CBC-256/SHA1/MODP2048/PSK",)
    return IkeMessage(**(values | changes))  # type: ignore[arg-type]


def up_to_message_5(*after: Observation, end: float = 12.0) -> list[Observation]:
    return [
        Scope(t=0.0, credentials=True, user=True, plain_l2tp=False, certificate=False),
        ike(0.1, "MM1"),
        ike(0.2, "MM2"),
        ike(0.3, "MM3"),
        ike(0.4, "MM4"),
        ike(0.5, "MM5"),
        *(ike(0.5 + n, "MM5", repeat=True) for n in range(1, 8)),
        *after,
        Ended(t=end, why="stopped"),
    ]


PROBE = [
    ike(2.0, "MM1", port=4500, initiator_cookie="aa" * 8, direction="out"),
    ike(2.1, "MM2", port=4500, initiator_cookie="aa" * 8),
]
MM4_AGAIN = [ike(1.5 + n, "MM4", repeat=True) for n in range(3)]


def notified(kind: int, name: str, **changes: object) -> IkeMessage:
    return ike(0.7, "INFO", notifies=(IkeNotify(type=kind, name=name),), **changes)


@pytest.mark.parametrize(
    ("after", "code", "confidence"),
    [
        pytest.param([*MM4_AGAIN, *PROBE], "auth.psk-mismatch", "high",
                     id="message 4 again, and UDP 4500 is open"),
        pytest.param(PROBE, "auth.psk-mismatch", "medium",
                     id="silence, and UDP 4500 is open"),
        pytest.param([ike(0.7, "INFO", protection="undecryptable", port=4500)],
                     "auth.psk-mismatch", "high", id="an answer under another key"),
        pytest.param([notified(16, "PAYLOAD-MALFORMED", protection="clear")],
                     "auth.psk-mismatch", "high", id="PAYLOAD-MALFORMED in clear"),
        pytest.param([notified(18, "INVALID-ID-INFORMATION", protection="decrypted")],
                     "auth.identity-refused", "high",
                     id="a refusal under the right key is no wrong key"),
    ],
)  # fmt: skip
def test_wrong_keys_and_what_looks_like_them(
    after: list[Observation], code: str, confidence: str
) -> None:
    verdict = diagnose(up_to_message_5(*after)).verdict
    assert (verdict.finding, verdict.confidence) == (code, confidence)
    if code == "auth.psk-mismatch":
        assert "pre-shared key" in verdict.headline, "the helpdesk reads only this line"


def test_silence_cut_short_by_the_user_is_no_finding() -> None:
    seen = [*up_to_message_5()[:-1], Ended(t=3.0, why="interrupted")]
    verdict = diagnose(seen).verdict
    assert (verdict.outcome, verdict.layer) == ("inconclusive", "auth")
    assert (
        verdict.headline == "Interrupted while waiting at IKE authentication; IKE proposal worked."
    )
    assert diagnose(seen).verdict.outcome == "inconclusive"


def test_a_forged_invalid_cookie_alone_is_not_a_refused_key() -> None:
    seen = up_to_message_5(notified(4, "INVALID-COOKIE", protection="clear"), *PROBE)
    verdict = diagnose(seen).verdict
    assert verdict.confidence == "medium"


def test_cookie_answers_of_ikev2_are_no_proof_that_ikev1_is_off() -> None:
    """strongSwan ignores IKEv1 from an address with five half-open SAs, and asks IKEv2 for
    cookies."""
    v2 = {"version": 2, "initiator_cookie": "bb" * 8, "step": "IKEv2 SA_INIT"}
    seen = [
        Scope(t=0.0, credentials=True, user=True, plain_l2tp=False, certificate=False),
        *(ike(0.1 + n, "MM1", repeat=n > 0) for n in range(8)),
        ike(0.7, **v2, direction="out"),  # type: ignore[arg-type]
        ike(0.8, **v2, direction="in", notifies=(IkeNotify(type=16390, name="COOKIE"),)),  # type: ignore[arg-type]
        Ended(t=12.0, why="stopped"),
    ]
    found = diagnose(seen)
    assert found.verdict.outcome == "inconclusive"
    assert [f.code for f in found.findings] == ["ike.held-off"]
    answered = [*seen[:-2], ike(0.8, **v2, direction="in"), seen[-1]]  # type: ignore[arg-type]
    assert diagnose(answered).verdict.finding == "ike.ikev2-only"


def test_an_offer_that_is_accepted_on_4500_is_not_what_500_is_silent_to() -> None:
    """strongSwan with five half-open SAs, on a path that lost its first answer: message 1 is not
    answered any more, another method was, and so was the same offer on UDP 4500."""
    psk = {"transforms": ("AES-CBC-256/SHA1/MODP2048/PSK",), "auth_methods": (1,)}
    rsa = {"transforms": ("AES-CBC-256/SHA1/MODP2048/RSA-SIG",), "auth_methods": (3,)}
    b, c = {"initiator_cookie": "bb" * 8}, {"initiator_cookie": "cc" * 8}
    seen = [
        Scope(t=0.0, credentials=True, user=True, plain_l2tp=False, certificate=False),
        *(ike(0.1 + n, "MM1", repeat=n > 0, **psk) for n in range(12)),
        ike(0.7, "MM1", port=4500, **psk, **b),
        ike(0.8, "MM1", **rsa, **c),
        ike(0.9, "MM2", direction="in", port=4500, **psk, **b),
        ike(1.0, "MM2", direction="in", **rsa, **c),
        Ended(t=13.0, why="stopped"),
    ]
    found = diagnose(sorted(seen, key=lambda o: o.t))
    assert found.verdict.outcome == "inconclusive"
    assert [f.code for f in found.findings] == ["ike.held-off"]
    alone = [o for o in seen if getattr(o, "initiator_cookie", "") != b["initiator_cookie"]]
    assert diagnose(sorted(alone, key=lambda o: o.t)).verdict.finding == "auth.certificate-wanted"
