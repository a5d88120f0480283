"""NAT-D: on which side the NAT is, when that is proven, and what follows."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from vpndiag import catalogue
from vpndiag.diagnosis import nat
from vpndiag.diagnosis.ladder import diagnose
from vpndiag.diagnosis.ruling import finding
from vpndiag.diagnosis.view import View
from vpndiag.observations import Ended, IkeMessage, Observation, Scope
from vpndiag.observe.ike import IkeObserver
from vpndiag.protocols.ike.algorithms import Group, Hash
from vpndiag.protocols.ike.constants import ExchangeType, IdType
from vpndiag.protocols.ike.keys import nat_d_hash
from vpndiag.protocols.ike.message import Header, Message
from vpndiag.protocols.ike.payloads import (
    HashPayload,
    IdPayload,
    KePayload,
    NatDPayload,
    NoncePayload,
    Payload,
)
from vpndiag.protocols.ike.transforms import IkeTransform, ike_sa
from vpndiag.report.model import Diagnosis, Finding

CLIENT, GATEWAY = ("192.0.2.1", 40000), ("198.51.100.2", 500)
COOKIES = (b"12345678", b"abcdefgh")
OFFER = ike_sa([IkeTransform(7, 256, Hash.SHA1, Group.MODP2048)])


def nat_d(address: str, port: int) -> NatDPayload:
    return NatDPayload(nat_d_hash(Hash.SHA1, *COOKIES, ip_address(address), port), False)


def phase_1(
    about_us: NatDPayload, about_it: NatDPayload, identity: str = "", *more: Observation
) -> list[Observation]:
    """Messages 1 to 4, and 6 where an identity is given, through the observer."""
    observer = IkeObserver()
    seen: list[Observation] = [
        Scope(t=0.0, credentials=True, user=False, plain_l2tp=False, certificate=False)
    ]

    def message(out: bool, *payloads: Payload, first: bool = False) -> None:
        cookies = (COOKIES[0], bytes(8)) if first else COOKIES
        header = Header(*cookies, ExchangeType.MAIN_MODE)
        ends = (CLIENT, GATEWAY) if out else (GATEWAY, CLIENT)
        seen.append(
            observer.observe(
                Message(header, payloads).encode(), t=0.1 * len(seen), frames=(len(seen),),
                direction="out" if out else "in", source=ends[0], destination=ends[1],
            )
        )  # fmt: skip

    exchange = (KePayload(b"\1" * 256), NoncePayload(b"\2" * 16))
    message(True, OFFER, first=True)
    message(False, OFFER)
    message(True, *exchange, nat_d(*GATEWAY), nat_d(*CLIENT))
    message(False, *exchange, about_us, about_it)
    if identity:
        header = Header(*COOKIES, ExchangeType.MAIN_MODE, flags=1, next_payload=5)
        shown = (
            IdPayload.of_address(ip_address(identity))
            if identity[0].isdigit()
            else IdPayload(IdType.FQDN, data=identity.encode())
        )
        data = Message(header, ciphertext=bytes(64)).encode()
        for out in (True, False):
            ends = (CLIENT, GATEWAY) if out else (GATEWAY, CLIENT)
            seen.append(
                observer.observe(
                    data + bytes(out), t=0.1 * len(seen), direction="out" if out else "in",
                    source=ends[0], destination=ends[1], payloads=(shown, HashPayload(bytes(20))),
                    protection="decrypted", frames=(len(seen),),
                )
            )  # fmt: skip
    return [*seen, *more, Ended(t=9.0, why="done")]


def told(diagnosis: Diagnosis) -> Finding | None:
    return next((f for f in diagnosis.findings if f.code == "path.gateway-behind-nat"), None)


TRUE_US, TRUE_IT = nat_d(*CLIENT), nat_d(*GATEWAY)
PRIVATE = nat_d("10.0.0.7", 500)


@pytest.mark.parametrize(
    ("about_us", "about_it", "identity", "confidence"),
    [
        (TRUE_US, TRUE_IT, "198.51.100.2", None),
        (nat_d("203.0.113.5", 40000), TRUE_IT, "198.51.100.2", None),
        (TRUE_US, PRIVATE, "10.0.0.7", "certain"),
        (nat_d("203.0.113.5", 40000), PRIVATE, "10.0.0.7", "certain"),
        (TRUE_US, PRIVATE, "10.0.0.8", "medium"),
        (TRUE_US, PRIVATE, "vpn.example.com", "medium"),
        (TRUE_US, PRIVATE, "", "medium"),
        # SoftEther: bound to no address, and a first hash that fits nothing
        (NatDPayload(b"\7" * 20, False), nat_d("0.0.0.0", 500), "0.0.0.0", None),
        (NatDPayload(b"\7" * 20, False), nat_d("0.0.0.0", 4500), "", None),
        # encapsulation forced: Libreswan, and our own gateway
        (nat_d(CLIENT[0], 0), nat_d(GATEWAY[0], 0), "", None),
        (TRUE_US, nat_d("0.0.0.0", 0), "", None),
    ],
    ids=["none", "client's", "proven", "both", "another address", "a name", "no identity",
         "softether", "softether 4500", "libreswan forced", "own gateway"],
)  # fmt: skip
def test_a_gateway_behind_nat_is_a_warning_only_where_its_hashes_are_of_an_address(
    about_us: NatDPayload, about_it: NatDPayload, identity: str, confidence: str | None
) -> None:
    found = told(diagnose(phase_1(about_us, about_it, identity)))
    assert (found.confidence if found else None) == confidence
    if found:
        assert found.severity == "warning" and "Windows" in found.detail


def test_what_the_gateway_pretends_is_kept() -> None:
    seen = phase_1(nat_d(CLIENT[0], 0), nat_d(GATEWAY[0], 0))
    (fourth,) = [o for o in seen if isinstance(o, IkeMessage) and o.step == "MM4"]
    assert fourth.source_hashed == "198.51.100.2:0"


def test_a_capture_at_the_gateway_sees_where_message_3_arrives() -> None:
    """There the gateway's own hash fits: the client's does not."""
    seen = [
        replace(o, destination_translated=True)
        if isinstance(o, IkeMessage) and o.step == "MM3"
        else o
        for o in phase_1(TRUE_US, TRUE_IT)[1:]
    ]
    found = told(diagnose(seen))
    assert found is not None and found.confidence == "certain"


SHARED = "Another client behind the same NAT"


@pytest.mark.parametrize(
    ("about_us", "about_it", "causes", "said"),
    [
        (nat_d("203.0.113.5", 40000), TRUE_IT, True, True),
        (TRUE_US, TRUE_IT, False, False),
        (NatDPayload(b"\7" * 20, False), nat_d("0.0.0.0", 500), True, False),
    ],
    ids=["behind a NAT", "no NAT", "not told"],
)
def test_other_clients_behind_the_same_nat_are_a_cause_only_where_there_is_one(
    about_us: NatDPayload, about_it: NatDPayload, causes: bool, said: bool
) -> None:
    view = View(phase_1(about_us, about_it))
    found = nat.fitted(view, catalogue.complete(finding("lcp.no-answer")))
    assert any(SHARED in c.text for c in found.causes) == causes
    assert any("behind a NAT" in e.text for e in found.evidence) == said
    assert len(found.causes) > 1
