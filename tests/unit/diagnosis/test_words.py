"""Words of evidence: counts in the right number, and lists that say what they leave out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.sim.network import client_options, simulate
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.diagnosis.ruling import listed, number
from vpndiag.gateway.breaks import find_break
from vpndiag.gateway.config import GatewayConfig


def test_one_is_not_many() -> None:
    assert [number(n, "packet") for n in (0, 1, 2)] == ["0 packets", "1 packet", "2 packets"]


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
        ("l2tp.secret-wanted", "asks for a tunnel secret (Challenge)"),
    ],
)
def test_what_a_failure_says(break_: str, words: str) -> None:
    assert words in _told(break_)
