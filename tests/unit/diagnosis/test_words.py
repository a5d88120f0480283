"""Words of evidence: counts in the right number, and lists that say what they leave out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.sim.network import client_options, simulate
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.diagnosis.ruling import listed, number, tried
from vpndiag.gateway.breaks import find_break
from vpndiag.gateway.config import GatewayConfig
from vpndiag.observations import Ended, IcmpError, L2tpMessage, LocalEnd, Scope


def test_one_is_not_many() -> None:
    assert [number(n, "packet") for n in (0, 1, 2)] == ["0 packets", "1 packet", "2 packets"]


def test_one_try_is_no_rate() -> None:
    assert tried(1, 10.12) == "once (waited 10.1 s)"
    assert tried(16, 12.7) == "16 times in 12.7 s"


def test_what_a_list_leaves_out_is_counted() -> None:
    assert listed(["a", "b"], 2) == "a; b"
    assert listed(["a", "b", "c", "d"], 2) == "a; b; and 2 more"


def _told(break_: str) -> str:
    set_up = find_break(break_).apply(GatewayConfig(), replace(client_options()), 0.0)
    seen = simulate(set_up[1], set_up[0])
    found = next(f for f in diagnose(seen.observations).findings if f.code == break_)
    return "; ".join([found.detail, *(e.text for e in found.evidence)])


@pytest.mark.parametrize(
    ("break_", "words"),
    [
        ("ike.no-proposal-chosen", "and 18 more"),
        ("ipsec.no-proposal-chosen", "and 4 more"),
        ("path.silent", "no answer, nor to "),
        ("l2tp.secret-wanted", "The gateway wants a tunnel secret: it closed with StopCCN"),
        ("l2tp.v3-only", "L2TPv3 (version 3 in the header) comes instead"),
        ("l2tp.call-unanswered", "ICRQ sent once (waited 10.1 s), no answer"),
        ("l2tp.secret-wanted", "asks for a tunnel secret (Challenge)"),
    ],
)
def test_what_a_failure_says(break_: str, words: str) -> None:
    assert words in _told(break_)


def test_without_ipsec_a_closed_port_is_1701_and_a_router_is_no_gateway() -> None:
    def refused(reporter: str) -> str:
        asked = [
            L2tpMessage(t=float(n), frames=(2 * n + 1,), direction="out", message="SCCRQ",
                        tunnel_id=0, session_id=0, ns=0, nr=0, inside="clear", repeat=n > 0)
            for n in range(5)
        ]  # fmt: skip
        errors = [
            IcmpError(t=n + 0.1, frames=(2 * n + 2,), direction="in", what="port-unreachable",
                      port=1701, icmp_type=3, icmp_code=3, reporter=reporter,
                      from_gateway=reporter == "192.0.2.1")
            for n in range(5)
        ]  # fmt: skip
        diagnosis = diagnose([
            Scope(t=0.0, credentials=True, user=True, plain_l2tp=True),
            LocalEnd(t=0.0, local_address="192.0.2.9", gateway_address="192.0.2.1",
                     source_port=500, source_port_natt=4500),
            *asked, *errors, Ended(t=6.0, why="stopped"),
        ])  # fmt: skip
        found = diagnosis.findings[0]
        return "; ".join([found.code, found.confidence, found.detail,
                          *(e.text for e in found.evidence)])  # fmt: skip

    assert refused("192.0.2.1") == (
        "path.port-unreachable; certain; The gateway answered with ICMP port unreachable for UDP "
        "1701.; ICMP port unreachable from 192.0.2.1, the gateway itself, for UDP 1701, 5 times; "
        "SCCRQ sent to UDP 1701 5 times in 6.0 s, no answer"
    )
    assert "; high; A router on the way (192.0.2.254) answered" in refused("192.0.2.254")


def test_a_silent_port_1701_is_not_called_open_nor_blamed_on_ipsec() -> None:
    options = replace(client_options(), plain_l2tp=True)
    config = find_break("l2tp.no-answer").apply(GatewayConfig(), options, 0.0)[0]
    diagnosis = diagnose(simulate(options, replace(config, plain_l2tp=True)).observations)
    path = next(layer for layer in diagnosis.layers if layer.id == "path")
    assert (path.status, path.reason) == ("not_reached", "nothing came back from UDP 1701")
    assert diagnosis.verdict.finding == "l2tp.no-answer"
    texts = [cause.text for cause in diagnosis.findings[0].causes]
    assert len(texts) == 3 and not any("came through IPsec" in text for text in texts)
