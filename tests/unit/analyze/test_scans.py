"""Scans of a gateway beside its clients: what they hear, or do not hear, is not the verdict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.analyze.scene import (
    CLIENT,
    VENDORS,
    WINDOWS,
    WINDOWS_VENDORS,
    Pair,
    Wire,
    offer,
    phase1,
    played,
)
from vpndiag.diagnosis.ike_sa import NATT_VENDOR_IDS
from vpndiag.diagnosis.scans import is_scan
from vpndiag.observations import Ended, IcmpError, IkeMessage, IkeNotify, Observation
from vpndiag.protocols.ike import vendor_ids

SCANNER = "203.0.113.66"
ONE_BY_ONE = [phase1(5, 0, 1, 2), phase1(5, 0, 2, 2), phase1(1, 0, 1, 2), phase1(7, 256, 2, 14)]


def _scanner(wire: Wire, gateway: str = "198.51.100.20", seed: int = 66) -> Pair:
    return Pair(wire, client=SCANNER, gateway=gateway, seed=seed)


def unanswered_probes(wire: Wire) -> None:
    """ike-scan with one vendor ID of a maker: three tries, growing waits, no NAT traversal."""
    p = _scanner(wire)
    for wait in (0.5, 0.75, 1.1, 9.0):
        p.mm1(WINDOWS[2:3], ("unity",), wait=wait)


def transform_by_transform(wire: Wire) -> None:
    """Each under a cookie of its own, all refused, with NAT traversal announced."""
    p = _scanner(wire)
    for transform in ONE_BY_ONE:
        p.new_sa()
        p.mm1([transform], ("rfc3947", "dpd"))
        p.notify(False, 14, wait=0.4)
    wire.at += 9


def answered_and_left(wire: Wire) -> None:
    """Message 2 comes, and who asked wanted no more."""
    p = _scanner(wire)
    p.mm1(WINDOWS, WINDOWS_VENDORS)
    p.mm2()
    p.new_sa()
    p.mm1(WINDOWS, WINDOWS_VENDORS)
    p.mm2()
    wire.at += 9


def group_names(wire: Wire) -> None:
    p = _scanner(wire)
    for name in (b"vpn", b"remote", b"sales"):
        p.new_sa()
        payloads = [(1, offer([phase1(group=2, auth=65001)])), (4, bytes(128)), (10, bytes(20)),
                    (5, b"\x0b\0\0\0" + name), (13, VENDORS["unity"])]  # fmt: skip
        p.ike(True, 4, payloads, begin=True)
        p.notify(False, 18, wait=0.5)
    wire.at += 9


def from_gateway_to_gateway(wire: Wire) -> None:
    """A whole network is asked, as by a client of Windows, and nobody there answers."""
    for n in range(12):
        p = _scanner(wire, f"198.51.100.{100 + n}", seed=n)
        for wait in (1.0, 2.0, 4.0):
            p.mm1(wait=wait)


SCANS = [
    unanswered_probes,
    transform_by_transform,
    answered_and_left,
    group_names,
    from_gateway_to_gateway,
]


@pytest.mark.parametrize("scan", SCANS)
def test_a_client_that_is_served_is_what_the_capture_is_about(
    scan: Callable[[Wire], None], tmp_path: Path
) -> None:
    def scene(wire: Wire) -> None:
        Pair(wire).session()
        scan(wire)

    assert played(scene, tmp_path).verdict.outcome == "healthy"


@pytest.mark.parametrize("scan", SCANS)
def test_and_so_is_one_that_is_refused(scan: Callable[[Wire], None], tmp_path: Path) -> None:
    def scene(wire: Wire) -> None:
        p = Pair(wire)
        p.main_mode(upto=5)
        p.notify(False, 16, natt=True, wait=3.0)
        scan(wire)

    report = played(scene, tmp_path)
    assert report.verdict.finding == "auth.psk-mismatch"
    assert report.sessions[(report.session or 0) - 1].client == CLIENT


def test_a_client_of_windows_that_is_refused_is_no_scan(tmp_path: Path) -> None:
    """It offers all that it has in one message, and says that it knows NAT traversal."""

    def scene(wire: Wire) -> None:
        Pair(wire, client="203.0.113.9", seed=9).session()
        p = Pair(wire)
        for wait in (1.0, 2.0):
            p.mm1()
            p.notify(False, 14, wait=wait)

    assert played(scene, tmp_path).verdict.finding == "ike.no-proposal-chosen"


def test_nor_is_one_that_asks_two_entries_in_vain(tmp_path: Path) -> None:
    def scene(wire: Wire) -> None:
        Pair(wire, client="203.0.113.9", seed=9).session()
        for n, gateway in enumerate(("198.51.100.1", "198.51.100.2")):
            p = Pair(wire, gateway=gateway, seed=n)
            for wait in (1.0, 2.0, 4.0, 8.0):
                p.mm1(wait=wait)

    assert played(scene, tmp_path).verdict.finding == "path.silent"


# The rule itself


def message(t: float = 0.0, way: str = "out", step: str = "MM1", cookie: str = "aa",
            **fields: object) -> IkeMessage:  # fmt: skip
    told: dict[str, object] = {"transforms": ("AES",), "version": 1, "exchange": 2}
    if way == "out":
        told["vendor_ids"] = (vendor_ids.RFC3947.hex(),)
    return IkeMessage(
        t=t, frames=(1,), direction=way, port=500, step=step, message_id=0,  # type: ignore[arg-type]
        initiator_cookie=cookie, responder_cookie="00" * 8 if way == "out" else "bb" * 8,
        size=300, protection="clear", **(told | fields),  # type: ignore[arg-type]
    )  # fmt: skip


END = Ended(t=60.0, why="capture-end")
ERROR = IcmpError(t=1.0, what="port-unreachable", icmp_type=3, icmp_code=3, reporter=None,
                  from_gateway=None, port=500)  # fmt: skip
SILENT = {"vendor_ids": ()}


@pytest.mark.parametrize(
    ("seen", "scan"),
    [
        pytest.param([message(), END], False, id="a client's first message"),
        pytest.param([message(**SILENT), ERROR, END], True, id="nothing said of NAT"),
        pytest.param([message(**SILENT, transforms=()), END], False, id="no offer that is read"),
        pytest.param([message(way="in"), END], False, id="the gateway's messages alone"),
        pytest.param([END], False, id="nothing"),
        pytest.param([message(**SILENT), message(1.0, step="MM3"), END], False, id="it goes on"),
        pytest.param([message(**SILENT, step="MM5"), END], False, id="recorded from later on"),
        pytest.param([message(), message(0.1, "in"), END], True, id="chosen, and left"),
        pytest.param([message(), message(0.1, "in", transforms=()), END], False, id="refused"),
        pytest.param([message(), message(0.1, "in"), message(1.0), END], False,
                     id="chosen, and asked again: the client has not heard it"),
        pytest.param([message(), message(0.1, "in"), Ended(t=3.9, why="capture-end")], False,
                     id="chosen, and the capture ends"),
        pytest.param([message(), message(0.1, "in"), message(0.2, cookie="cc"), END], False,
                     id="chosen, and another question open"),
        pytest.param(
            [message(n / 10, cookie=f"{n:02}", transforms=(f"offer {n}",)) for n in range(3)],
            True, id="three offers of one transform"),
        pytest.param(
            [message(n / 10, cookie=f"{n:02}", transforms=(f"offer {n}",)) for n in range(2)],
            False, id="two offers of one transform"),
        pytest.param(
            [message(n / 10, cookie=f"{n:02}", transforms=(f"{n}", "last")) for n in range(3)],
            False, id="three long offers"),
        pytest.param(
            [message(step="IKEv2 SA_INIT", version=2, transforms=()),
             message(0.1, "in", "IKEv2 SA_INIT", version=2, transforms=()), END],
            True, id="IKEv2 answered, and left"),
        pytest.param(
            [message(step="IKEv2 SA_INIT", version=2, transforms=()),
             message(0.1, "in", "IKEv2 SA_INIT", version=2, transforms=(),
                     notifies=(IkeNotify(type=14, name="NO_PROPOSAL_CHOSEN"),)), END],
            False, id="IKEv2 refused"),
        pytest.param([message(step="IKEv2 SA_INIT", version=2, transforms=(), vendor_ids=()), END],
                     False, id="IKEv2 not answered"),
    ],
)  # fmt: skip
def test_who_only_asks(seen: list[Observation], scan: bool) -> None:
    assert is_scan(seen) is scan


def test_what_says_that_nat_traversal_is_known() -> None:
    assert frozenset(v.hex() for v in vendor_ids.NATT_VENDOR_IDS) == NATT_VENDOR_IDS
