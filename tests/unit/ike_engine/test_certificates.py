"""Main mode with RSA signatures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from vpndiag.protocols.ike.algorithms import AuthMethod
from vpndiag.protocols.ike.certificates import ChainStatus, subject_dn
from vpndiag.protocols.ike.config import RsaCredentials
from vpndiag.protocols.ike.constants import IdType, NotifyType
from vpndiag.protocols.ike.engine import IkeState
from vpndiag.protocols.ike.events import (
    Failed,
    FailureCode,
    MessageSent,
    NotifyReceived,
    PeerAuthenticated,
    PeerCertificate,
    PhaseOneEstablished,
    Rejected,
    TimedOut,
    Trust,
)
from vpndiag.protocols.ike.payloads import CertRequestPayload, IdPayload
from vpndiag.protocols.ike.transforms import parse_ike

from .test_main_and_quick import assert_agreement
from .wire import initiator_config, link, of, one, responder_config

NOW = datetime(2026, 6, 1, tzinfo=UTC)
RSA = (parse_ike("aes256-sha256-modp1024", auth_method=AuthMethod.RSA_SIG),)


@lru_cache
def key(name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)


@lru_cache
def certificate(name: str, issuer: str, days: int = 365) -> bytes:
    def dn(common: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])

    builder = (
        x509.CertificateBuilder()
        .subject_name(dn(name))
        .issuer_name(dn(issuer))
        .public_key(key(name).public_key())
        .serial_number(1000 + len(name))
        .not_valid_before(NOW - timedelta(days=30))
        .not_valid_after(NOW - timedelta(days=30) + timedelta(days=days))
        .add_extension(x509.BasicConstraints(name == issuer, None), True)
    )
    if name != issuer:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
    return builder.sign(key(issuer), hashes.SHA256()).public_bytes(Encoding.DER)


CA = "test ca"


def side(name: str, **changes: Any) -> dict[str, Any]:
    der = certificate(name, CA)
    return {
        "transforms": RSA,
        "psk": None,
        "credentials": RsaCredentials(key(name), (der,)),
        "trust_anchors": (certificate(CA, CA),),
        "identity": IdPayload(IdType.DER_ASN1_DN, subject_dn(der)),
        "verify_time": NOW.timestamp(),
    } | changes


CLIENT_NAME, SERVER_NAME = "client.example", "vpn.example"


@pytest.mark.parametrize("nat", [False, True])
@pytest.mark.parametrize("hash_", ["md5", "sha1", "sha256", "sha384", "sha512"])
def test_signatures_prove_both_sides(hash_: str, nat: bool) -> None:
    transforms = (parse_ike(f"aes128-{hash_}-modp1024", auth_method=AuthMethod.RSA_SIG),)
    joined = link(
        initiator_config(**side(CLIENT_NAME, transforms=transforms, expected_name=SERVER_NAME)),
        responder_config(**side(SERVER_NAME, transforms=transforms)),
        nat=nat,
    ).run()
    assert_agreement(joined)
    report = one(joined.client_events, PeerCertificate).report
    assert report.ok
    assert report.subject == f"CN={SERVER_NAME}"
    proven = one(joined.client_events, PeerAuthenticated)
    assert (proven.method, proven.identity.id_type) == (AuthMethod.RSA_SIG, IdType.DER_ASN1_DN)


def test_both_sides_say_which_authority_they_trust() -> None:
    joined = link(
        initiator_config(**side(CLIENT_NAME)), responder_config(**side(SERVER_NAME))
    ).run()
    for events, name in ((joined.client_events, "MM3"), (joined.server_events, "MM4")):
        sent = next(event for event in of(events, MessageSent) if event.name == name)
        (request,) = [p for p in sent.payloads if isinstance(p, CertRequestPayload)]
        assert request.authority == subject_dn(certificate(CA, CA))


def test_who_trusts_many_authorities_asks_for_any() -> None:
    """With all that a system trusts, message 3 would have 14 KB."""
    anchors = (certificate(CA, CA), *(certificate(f"ca {n}", CA) for n in range(9)))
    joined = link(
        initiator_config(**side(CLIENT_NAME, trust_anchors=anchors)),
        responder_config(**side(SERVER_NAME)),
    ).run()
    assert_agreement(joined)
    third = of(joined.client_events, MessageSent)[1]
    (request,) = [p for p in third.payloads if isinstance(p, CertRequestPayload)]
    assert request.authority == b""
    assert len(third.data) < 1200


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"trust_anchors": (certificate("other ca", "other ca"),)}, ChainStatus.UNTRUSTED),
        ({"trust_anchors": ()}, ChainStatus.UNTRUSTED),
        ({"expected_name": "elsewhere.example"}, ChainStatus.NAME_MISMATCH),
        ({"verify_time": NOW.timestamp() + 400 * 86400}, ChainStatus.EXPIRED),
        ({"verify_time": NOW.timestamp() - 400 * 86400}, ChainStatus.NOT_YET_VALID),
    ],
)
def test_a_bad_certificate_ends_phase_1_unless_it_is_to_be_tolerated(
    changes: dict[str, Any], problem: ChainStatus
) -> None:
    server = responder_config(**side(SERVER_NAME))
    joined = link(initiator_config(**side(CLIENT_NAME, **changes)), server).run()
    assert problem in one(joined.client_events, PeerCertificate).report.problems
    failed = one(joined.client_events, Failed)
    assert (failed.stage, failed.code) == ("MM6", FailureCode.BAD_CERTIFICATE)
    assert joined.client.state is IkeState.FAILED
    assert not of(joined.client_events, PhaseOneEstablished)

    tolerant = side(CLIENT_NAME, **changes, require_trusted=False)
    joined = link(initiator_config(**tolerant), server).run()
    assert_agreement(joined)
    assert not one(joined.client_events, PeerCertificate).report.ok


def test_a_failed_initiator_still_deletes_what_the_responder_believes_in() -> None:
    joined = link(
        initiator_config(**side(CLIENT_NAME, expected_name="elsewhere.example")),
        responder_config(**side(SERVER_NAME)),
    ).run()
    assert joined.server.state is IkeState.ESTABLISHED
    joined.client.delete(joined.now)  # type: ignore[attr-defined]
    joined.run()
    assert joined.server.state is IkeState.DELETED


def test_a_responder_that_dislikes_our_certificate_says_so_and_is_believed() -> None:
    joined = link(
        initiator_config(**side(CLIENT_NAME)),
        responder_config(**side(SERVER_NAME, trust_anchors=(certificate("other ca", "other ca"),))),
    ).run()
    note = one(joined.client_events, NotifyReceived)
    assert note.trust is Trust.AUTHENTICATED
    assert note.phase == 1
    failed = one(joined.client_events, Failed)
    assert (failed.stage, failed.code) == ("MM6", FailureCode.REFUSED_BY_PEER)
    assert failed.notify_type == NotifyType.AUTHENTICATION_FAILED
    assert joined.client.state is IkeState.FAILED


def test_a_signature_of_another_key_is_rejected() -> None:
    stolen = RsaCredentials(key("thief"), (certificate(SERVER_NAME, CA),))
    joined = link(
        initiator_config(**side(CLIENT_NAME)),
        responder_config(**side(SERVER_NAME, credentials=stolen)),
    ).run()
    assert {event.code for event in of(joined.client_events, Rejected)} == {
        FailureCode.WRONG_SIGNATURE
    }
    assert one(joined.client_events, TimedOut).waiting_for == "MM6"
    assert not of(joined.client_events, PhaseOneEstablished)


def test_a_chain_without_certificates_is_rejected() -> None:
    joined = link(
        initiator_config(**side(CLIENT_NAME)),
        responder_config(**side(SERVER_NAME, credentials=RsaCredentials(key(SERVER_NAME), ()))),
    ).run()
    assert of(joined.client_events, Rejected)[0].code is FailureCode.BAD_CERTIFICATE


def test_a_wrong_choice_of_method_is_never_accepted() -> None:
    """A responder with a key only must not be talked into signatures, nor the other way round."""
    joined = link(initiator_config(), responder_config(**side(SERVER_NAME))).run()
    assert {event.code for event in of(joined.server_events, Rejected)} == {FailureCode.NO_PROPOSAL}
