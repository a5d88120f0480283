"""Real captures with their keys: everything decrypts, and every hash is what we compute."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from vpndiag.protocols.errors import DecodeError, IntegrityError, ProtocolError, RemoteProtocolError
from vpndiag.protocols.ike.certificates import ChainStatus, rsa_public_key, verify_chain
from vpndiag.protocols.ike.ciphers import CipherSpec, digest_size
from vpndiag.protocols.ike.constants import ExchangeType, PayloadType
from vpndiag.protocols.ike.keys import CipherState, Phase1Keys, nat_d_hash, phase1_iv
from vpndiag.protocols.ike.message import Message, PayloadChain, decode, decode_payloads
from vpndiag.protocols.ike.payloads import (
    CertPayload,
    HashPayload,
    IdPayload,
    KePayload,
    NatDPayload,
    NoncePayload,
    SaPayload,
    SignaturePayload,
    VendorIdPayload,
)
from vpndiag.protocols.ike.signatures import rsa_verify
from vpndiag.protocols.ike.transforms import EspTransform, IkeTransform
from vpndiag.protocols.ike.vendor_ids import fingerprint

CAPTURES = Path(__file__).resolve().parents[3] / ".." / "shared" / "captures"
LAB = CAPTURES / "linux-lab"

pytestmark = pytest.mark.skipif(not CAPTURES.is_dir(), reason="no collection of captures here")


@dataclass
class Frame:
    number: int
    source: str
    destination: str
    source_port: int
    message: Message
    plain: PayloadChain | None = None
    repeat: bool = False


@dataclass
class Session:
    """All messages with one initiator cookie."""

    frames: list[Frame] = field(default_factory=list)
    state: CipherState | None = None
    transform: IkeTransform | None = None

    def of(self, exchange: int) -> list[Frame]:
        return [f for f in self.frames if f.message.header.exchange == exchange and not f.repeat]


def load_keys(path: Path) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for line in path.read_text().splitlines():
        cookie, comma, key = line.strip().strip('"').partition(",")
        if comma and not cookie.startswith("#"):
            keys[cookie] = bytes.fromhex(key)
    return keys


def load(path: Path, keys: dict[str, bytes], limit: int = 500) -> dict[str, Session]:
    """Decode, and decrypt in order, what a capture has of IKEv1."""
    scapy = pytest.importorskip("scapy.all")
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    sessions: dict[str, Session] = {}
    publics: dict[str, list[bytes]] = {}
    for number, packet in enumerate(scapy.rdpcap(str(path), count=limit), 1):
        if scapy.UDP not in packet or scapy.IP not in packet:
            continue
        udp = packet[scapy.UDP]
        data = bytes(udp.payload)
        if 4500 in (udp.sport, udp.dport):
            if data[:4] != bytes(4):
                continue
            data = data[4:]
        elif 500 not in (udp.sport, udp.dport):
            continue
        message = decode(data)
        if message.is_ikev2:
            continue
        cookie = message.header.initiator_cookie.hex()
        session = sessions.setdefault(cookie, Session())
        ip = packet[scapy.IP]
        frame = Frame(number, ip.src, ip.dst, udp.sport, message)
        session.frames.append(frame)
        sa, ke = message.first(SaPayload), message.first(KePayload)
        if sa is not None and sa.proposals:
            session.transform = IkeTransform.from_transform(sa.proposals[0].transforms[0])
        if ke is not None and ke.data not in publics.setdefault(cookie, []):
            publics[cookie].append(ke.data)
        if message.ciphertext is None or cookie not in keys:
            continue
        assert session.transform is not None
        if session.state is None:
            t = session.transform
            spec = CipherSpec.of(t.encryption, t.key_length)
            session.state = CipherState.from_public_values(
                t.hash, spec, keys[cookie], publics[cookie][0], publics[cookie][1]
            )
        header = message.header
        plaintext = session.state.decrypt(header.message_id, message.ciphertext)
        frame.plain = decode_payloads(header.next_payload, plaintext)
        frame.repeat = session.state.is_repeat(header.message_id, message.ciphertext)
        session.state.accept(header.message_id, message.ciphertext)
    return sessions


WIRESHARK_KEYS = CAPTURES / "keys" / "wireshark-test-ikev1_decryption_table"


@pytest.mark.parametrize(
    ("name", "encrypted", "repeats"),
    [
        ("wireshark-ikev1-bug-12610.pcapng", 12, 0),
        ("wireshark-ikev1-bug-12620.pcapng", 7, 0),
        ("zeekspicy-ikev1-certs.pcap", 6, 1),
    ],
)
def test_wiresharks_own_captures_decrypt(name: str, encrypted: int, repeats: int) -> None:
    sessions = load(CAPTURES / name, load_keys(WIRESHARK_KEYS))
    frames = [f for s in sessions.values() for f in s.frames if f.message.ciphertext is not None]
    assert len(frames) >= encrypted
    assert all(f.plain is not None for f in frames)
    assert sum(f.repeat for f in frames) == repeats


def lab_session(name: str, side: str = "client-side") -> tuple[Session, dict[str, object]]:
    folder = LAB / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not here")
    keys = json.loads((folder / "keys.json").read_text())
    sessions = load(folder / f"{side}.pcap", load_keys(folder / "ikev1_decryption_table"))
    (cookie,) = (c for c in sessions if c in keys["ike"])
    return sessions[cookie], {"ike": keys["ike"][cookie]["cli"], "esp": keys["esp"]}


def lab_keys(session: Session, given: dict[str, str]) -> Phase1Keys:
    assert session.transform is not None
    t = session.transform
    return Phase1Keys(
        t.hash,
        CipherSpec.of(t.encryption, t.key_length),
        bytes.fromhex(given["SKEYID"]),
        bytes.fromhex(given["SKEYID_d"]),
        bytes.fromhex(given["SKEYID_a"]),
        bytes.fromhex(given["SKEYID_e"]),
        bytes.fromhex(given["encryption key Ka"]),
    )


STRONGSWAN = ["ok-nat", "ok-routed-esp", "wrong-password", "no-dns-pushed"]


@pytest.mark.parametrize("name", STRONGSWAN)
def test_phase_one_hashes_and_keys_are_those_of_strongswan(name: str) -> None:
    session, given = lab_session(name)
    ike = given["ike"]
    assert isinstance(ike, dict)
    keys = lab_keys(session, ike)
    mm = session.of(ExchangeType.MAIN_MODE)
    mm1, _, mm3, mm4, mm5, mm6 = mm[:6]
    header = mm6.message.header
    cky = (header.initiator_cookie, header.responder_cookie)
    sa, gi, gr = (
        mm1.message.first(SaPayload),
        mm3.message.first(KePayload),
        mm4.message.first(KePayload),
    )
    assert sa is not None
    assert gi is not None
    assert gr is not None
    assert phase1_iv(keys.hash_id, keys.spec, gi.data, gr.data).hex() == ike["initial IV"]
    for frame, method in ((mm5, keys.hash_i), (mm6, keys.hash_r)):
        assert frame.plain is not None
        identity, proof = frame.plain.first(IdPayload), frame.plain.first(HashPayload)
        assert identity is not None
        assert proof is not None
        assert proof.data == method(gi.data, gr.data, *cky, sa.body, identity.body)


@pytest.mark.parametrize("name", STRONGSWAN)
def test_quick_mode_hashes_and_esp_keys_are_those_of_strongswan(name: str) -> None:
    session, given = lab_session(name)
    ike, esp = given["ike"], given["esp"]
    assert isinstance(ike, dict)
    assert isinstance(esp, dict)
    keys = lab_keys(session, ike)
    qm = [f.plain for f in session.of(ExchangeType.QUICK_MODE)[:3]]
    message_id = session.of(ExchangeType.QUICK_MODE)[0].message.header.message_id
    first, second, third = qm
    assert first is not None
    assert second is not None
    assert third is not None
    ni, nr = first.first(NoncePayload), second.first(NoncePayload)
    assert ni is not None
    assert nr is not None
    expected = (
        keys.quick_hash_1(message_id, first.after_first),
        keys.quick_hash_2(message_id, ni.data, second.after_first),
        keys.quick_hash_3(message_id, ni.data, nr.data),
    )
    for chain, value in zip((first, second, third), expected, strict=True):
        proof = chain.first(HashPayload)
        assert proof is not None
        assert proof.data == value
    for chain in (first, second):
        sa = chain.first(SaPayload)
        assert sa is not None
        (proposal,) = sa.proposals
        transform = EspTransform.from_transform(proposal.transforms[0])
        sizes = transform.enc_key_size, transform.auth_key_size
        keymat = keys.keymat(3, proposal.spi, ni.data, nr.data, sum(sizes))
        known = esp[proposal.spi.hex()]
        assert keymat[: sizes[0]].hex() == known["enc_key"]
        assert keymat[sizes[0] :].hex() == known["auth_key"]


@pytest.mark.parametrize("name", STRONGSWAN)
def test_informational_hashes_verify(name: str) -> None:
    session, given = lab_session(name)
    ike = given["ike"]
    assert isinstance(ike, dict)
    keys = lab_keys(session, ike)
    frames = session.of(ExchangeType.INFORMATIONAL)
    for frame in frames:
        assert frame.plain is not None
        proof = frame.plain.first(HashPayload)
        assert proof is not None
        message_id = frame.message.header.message_id
        assert proof.data == keys.informational_hash(message_id, frame.plain.after_first)


def test_nat_d_hashes_tell_the_client_behind_nat() -> None:
    session, _ = lab_session("ok-nat", "server-side")
    assert session.transform is not None
    mm3 = session.of(ExchangeType.MAIN_MODE)[2]
    header = mm3.message.header

    def hashed(address: str, port: int) -> bytes:
        assert session.transform is not None
        return nat_d_hash(
            session.transform.hash,
            header.initiator_cookie,
            header.responder_cookie,
            ipaddress.ip_address(address),
            port,
        )

    destination, source = mm3.message.all(NatDPayload)
    assert destination.hash == hashed(mm3.destination, 500)
    assert source.hash != hashed(mm3.source, mm3.source_port)
    assert len(source.hash) == digest_size(session.transform.hash)


def test_a_wrong_pre_shared_key_shows_as_garbage() -> None:
    folder = LAB / "wrong-psk"
    if not folder.is_dir():
        pytest.skip("wrong-psk is not here")
    keys = json.loads((folder / "keys.json").read_text())["ike"]
    (cookie,) = keys
    server_key = bytes.fromhex(keys[cookie]["srv"]["encryption key Ka"])
    with pytest.raises(RemoteProtocolError):
        load(folder / "client-side.pcap", {cookie: server_key})


def test_signatures_and_certificates_of_a_real_gateway() -> None:
    """RSA signatures of HASH_I and HASH_R cannot be checked without SKEYID: the capture gives
    only the cipher key. The certificates can be read, and a signature by them has their size."""
    sessions = load(CAPTURES / "zeekspicy-ikev1-certs.pcap", load_keys(WIRESHARK_KEYS))
    seen = 0
    for session in sessions.values():
        for frame in session.of(ExchangeType.MAIN_MODE):
            if frame.plain is None:
                continue
            certificate = frame.plain.first(CertPayload)
            signature = frame.plain.first(SignaturePayload)
            assert certificate is not None
            assert signature is not None
            key = rsa_public_key(certificate.data)
            assert key.key_size == 8 * len(signature.data)
            # 16 bytes: an MD5 hash, which the signature recovers to, padded and bare
            numbers = key.public_numbers()
            padded = pow(int.from_bytes(signature.data, "big"), numbers.e, numbers.n)
            text = padded.to_bytes(len(signature.data), "big")
            assert text.startswith(b"\0\1\xff\xff")
            bare = text[text.index(b"\0", 2) + 1 :]
            assert len(bare) == 16
            rsa_verify(key, bare, signature.data)
            with pytest.raises(IntegrityError):
                rsa_verify(key, bytes(16), signature.data)
            report = verify_chain([certificate.data], [], now=0.0)
            assert ChainStatus.UNTRUSTED in report.problems
            assert report.subject
            seen += 1
    assert seen == 2


@pytest.mark.parametrize(
    ("name", "product"), [("ok-nat", "strongSwan"), ("ls-ok-nat", "Libreswan")]
)
def test_servers_are_recognised_by_their_vendor_ids(name: str, product: str) -> None:
    folder = LAB / name
    sessions = load(folder / "client-side.pcap", {}, limit=10)
    mm2 = next(iter(sessions.values())).frames[1].message
    assert fingerprint(v.vendor_id for v in mm2.all(VendorIdPayload)) == product


UNTYPED = {PayloadType.SAK, PayloadType.SAT}
"""15 and 16: NAT-D and NAT-OA in drafts 04 to 08; tshark gives the payload another field name."""


def all_datagrams(path: Path, limit: int = 300) -> list[tuple[int, bytes]]:
    scapy = pytest.importorskip("scapy.all")
    out = []
    for number, packet in enumerate(scapy.rdpcap(str(path), count=limit), 1):
        if scapy.UDP not in packet or scapy.IP not in packet:
            continue
        udp = packet[scapy.UDP]
        if 500 in (udp.sport, udp.dport):
            out.append((number, bytes(udp.payload)))
    return out


AGREED = [
    "jimmy-ikev1-aggressive.pcap",
    "jimmy-l2tp-ipsec-client-full-process.pcap",
    "tcpdump-ISAKMP_sa_setup.pcap",
    "zeekspicy-ipsec-ikev1-isakmp-main-mode.pcap",
    "wireshark-ikev1-bug-12610.pcapng",
    "wireshark-ikev1-bug-12620.pcapng",
]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.parametrize("name", AGREED)
def test_payload_types_are_those_that_tshark_finds(name: str) -> None:
    path = CAPTURES / name
    if not path.exists():
        pytest.skip(f"{name} is not here")
    done = subprocess.run(
        [
            *("tshark", "-r", str(path), "-c", "300", "-Y", "udp.port==500 && isakmp"),
            *("-T", "fields", "-e", "frame.number", "-e", "isakmp.typepayload"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    theirs = {}
    for line in done.stdout.splitlines():
        number, _, types = line.partition("\t")
        theirs[int(number)] = [int(t) for t in types.split(",") if t]
    compared = 0
    for number, data in all_datagrams(path):
        try:
            message = decode(data)
        except ProtocolError:
            continue
        if message.is_ikev2 or message.ciphertext is not None or number not in theirs:
            continue
        ignored = {PayloadType.PROPOSAL, PayloadType.TRANSFORM, *UNTYPED}
        assert [p.payload_type for p in message.payloads if p.payload_type not in ignored] == [
            t for t in theirs[number] if t not in ignored
        ]
        compared += 1
    assert compared >= 2


@pytest.mark.parametrize("name", AGREED)
def test_our_encoding_of_a_clear_message_is_the_message(name: str) -> None:
    path = CAPTURES / name
    if not path.exists():
        pytest.skip(f"{name} is not here")
    for _, data in all_datagrams(path):
        try:
            message = decode(data)
        except ProtocolError:
            continue
        if message.is_ikev2:
            continue
        assert message.encode() == data[: message.header.length - len(message.trailing)]
        for payload in message.payloads:
            assert payload.encode_body() == payload.body


@pytest.mark.parametrize(
    "name",
    [
        "tcpdump-isakmpv1-attr-oobr.pcap",
        "tcpdump-isakmp-identification-segfault.pcap",
        "tcpdump-isakmp-rfc3948-oobr.pcap",
        "tcpdump-ikev2pI2-segfault.pcapng",
        "tcpdump-ikev2-id-short.pcap",
        "zeekspicy-ipsec-ikev1-payload-bad-length.pcap",
        "zeekspicy-ipsec-ikev1-zero-length.pcap",
        "suricata-ikev1-duplicate-proposals-generated.pcap",
    ],
)
def test_captures_that_broke_other_readers_do_not_break_this_one(name: str) -> None:
    path = CAPTURES / name
    if not path.exists():
        pytest.skip(f"{name} is not here")
    scapy = pytest.importorskip("scapy.all")
    for packet in scapy.rdpcap(str(path), count=200):
        raw = bytes(packet)
        # wherever a dissector might find a message in such a frame
        for offset in range(min(len(raw), 80)):
            with contextlib.suppress(DecodeError):
                message = decode(raw[offset:])
                assert all(isinstance(p.body, bytes) for p in message.payloads)
