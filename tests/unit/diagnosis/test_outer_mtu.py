"""What the sizes that get to the gateway mean: for the path, for certificates, for the tunnel."""

from __future__ import annotations

import pytest

from vpndiag.diagnosis.ladder import diagnose
from vpndiag.observations import (
    Ended,
    IkeEstablished,
    IkeMessage,
    InsideMtu,
    InsideScope,
    Observation,
    OuterMtu,
    Scope,
)
from vpndiag.probes.inside.mtu import Encapsulation
from vpndiag.protocols.esp.suites import Cipher, EspSuite, Integrity
from vpndiag.report.model import Diagnosis, Finding


def ike(t: float, step: str, size: int = 200, **changes: object) -> IkeMessage:
    out = step in ("MM1", "MM3", "MM5")
    values: dict[str, object] = {
        "t": t, "frames": (int(t * 10),), "direction": "out" if out else "in", "step": step,
        "port": 4500 if step in ("MM5", "MM6") else 500, "initiator_cookie": "1" * 16,
        "version": 1, "exchange": 2, "message_id": 0, "responder_cookie": "2" * 16,
        "protection": "clear", "size": size,
    }  # fmt: skip
    if step in ("MM1", "MM2"):
        values |= {"transforms": ("AES-CBC-256/SHA1/MODP2048/RSA",), "auth_methods": (3,)}
    return IkeMessage(**(values | changes))  # type: ignore[arg-type]


def sizes(**changes: object) -> OuterMtu:
    values: dict[str, object] = {
        "t": 3.0, "frames": (40,), "port": 500, "question": "version", "outcome": "measured",
        "tried": 1500, "largest": 1500, "fragments": "pass", "fragmented_size": 2000, "tries": 3,
    }  # fmt: skip
    return OuterMtu(**(values | changes))  # type: ignore[arg-type]


def up_to_message_5(*more: Observation, size: int, certificate: bool = True) -> list[Observation]:
    again = [ike(0.5 + n, "MM5", size, repeat=True) for n in range(1, 8)]
    return [
        Scope(t=0.0, credentials=True, user=True, plain_l2tp=False, certificate=certificate),
        ike(0.1, "MM1"), ike(0.2, "MM2"), ike(0.3, "MM3"), ike(0.4, "MM4"),
        ike(0.5, "MM5", size), *again, *more, Ended(t=12.0, why="stopped"),
    ]  # fmt: skip


def healthy(*more: Observation) -> list[Observation]:
    return [
        Scope(t=0.0, credentials=True, user=False, plain_l2tp=False, certificate=False),
        ike(0.1, "MM1"), ike(0.2, "MM2"), ike(0.3, "MM3"), ike(0.4, "MM4"), ike(0.5, "MM5"),
        ike(0.6, "MM6", protection="decrypted"),
        IkeEstablished(t=0.6, initiator_cookie="1" * 16), *more, Ended(t=4.0, why="done"),
    ]  # fmt: skip


def of(diagnosis: Diagnosis, code: str) -> Finding | None:
    return next((f for f in diagnosis.findings if f.code == code), None)


def said(found: Finding) -> str:
    return " / ".join(e.text for e in found.evidence)


@pytest.mark.parametrize(
    ("measured", "code", "confidence"),
    [
        ([], "path.fragments-lost", "medium"),
        ([sizes(fragments="lost")], "path.fragments-lost", "high"),
        ([sizes(fragments="pass")], "auth.certificate-refused", "medium"),
        ([sizes(outcome="unanswered", largest=0, fragments="not-tested")],
         "path.fragments-lost", "medium"),
        ([sizes(outcome="unsure", fragments="not-tested")], "path.fragments-lost", "medium"),
    ],
)  # fmt: skip
def test_a_large_message_5_without_an_answer(
    measured: list[Observation], code: str, confidence: str
) -> None:
    found = diagnose(up_to_message_5(*measured, size=2400))
    assert (found.verdict.finding, found.verdict.confidence) == (code, confidence)
    assert of(found, "path.fragments-dropped") is None, "said once is enough"


@pytest.mark.parametrize(
    ("fragments", "code"),
    [("lost", "path.fragments-lost"), ("pass", "auth.certificate-refused")],
)
def test_a_small_one_whose_answer_is_large(fragments: str, code: str) -> None:
    found = diagnose(up_to_message_5(sizes(fragments=fragments), size=900))
    assert (found.verdict.finding, found.verdict.confidence) == (code, "medium")
    main = found.findings[0]
    assert "fragments" in said(main)
    ranks = {c.likelihood for c in main.causes if "travels in IP fragments" in c.text}
    assert ranks == ({"possible"} if code.startswith("auth") else set())


def test_with_a_key_the_sizes_say_nothing_about_message_5() -> None:
    found = diagnose(up_to_message_5(sizes(fragments="lost"), size=108, certificate=False))
    assert found.verdict.layer == "auth"
    assert of(found, "path.fragments-dropped") is not None


@pytest.mark.parametrize(
    ("measured", "codes", "status"),
    [
        (sizes(), {}, "passed"),
        (sizes(fragments="lost"), {"path.fragments-dropped": "warning"}, "warning"),
        (sizes(largest=1400, lost=1401), {"path.small-mtu": "warning"}, "warning"),
        (sizes(largest=1400, lost=1401, told_mtu=1400, reporter="100.64.0.1"),
         {"path.small-mtu": "info"}, "passed"),
        (sizes(largest=1400, tried=1400, local_limit=True), {}, "passed"),
        (sizes(outcome="unanswered", largest=0, fragments="not-tested"), {}, "passed"),
        (sizes(outcome="unsure", largest=300, fragments="not-tested"), {}, "passed"),
        (sizes(outcome="unfinished", largest=300, lost=1500), {}, "passed"),
        (sizes(outcome="cannot-tell", largest=0), {}, "passed"),
        (sizes(outcome="cannot-tell", largest=0, fragments="lost"),
         {"path.fragments-dropped": "warning"}, "warning"),
    ],
)  # fmt: skip
def test_while_all_is_well(measured: OuterMtu, codes: dict[str, str], status: str) -> None:
    found = diagnose(healthy(measured))
    assert found.verdict.outcome == "healthy"
    assert {f.code: f.severity for f in found.findings if f.layer == "path"} == codes
    assert next(x for x in found.layers if x.id == "path").status == status


SUITES = [
    EspSuite(Cipher.AES_CBC, 128, Integrity.HMAC_SHA1_96),
    EspSuite(Cipher.TRIPLE_DES, 192, Integrity.HMAC_MD5_96),
    EspSuite(Cipher.AES_GCM_16, 256, Integrity.NONE),
    None,
]


@pytest.mark.parametrize("suite", SUITES, ids=str)
@pytest.mark.parametrize("path", [576, 1280, 1399, 1400, 1437, 1492, 1499, 1500])
def test_the_mtu_to_set_follows_from_what_the_path_carries(
    suite: EspSuite | None, path: int
) -> None:
    wrapped = Encapsulation(suite)
    inner = wrapped.inner_mtu(1500)
    inside: list[Observation] = [
        InsideScope(t=2.0, address="10.0.0.2", link_mtu=inner, path_mtu=1500,
                    overhead=wrapped.outer_size(inner) - inner, padded_to=wrapped.padded_to),
        InsideMtu(t=2.5, role="peer", target="10.0.0.1", tried=1500, largest=1500),
    ]  # fmt: skip
    measured = sizes(largest=path, lost=0 if path == 1500 else path + 1)
    rungs = {x.id: x for x in diagnose(healthy(measured, *inside)).layers}
    assert rungs["mtu"].facts["mtu"] == str(wrapped.inner_mtu(path))
    assert str(path) in rungs["mtu"].facts["encapsulation"]
