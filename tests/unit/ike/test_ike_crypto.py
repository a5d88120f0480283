"""Diffie-Hellman, ciphers, key derivation and the IV chains."""

from __future__ import annotations

import hashlib
import hmac
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vpndiag.protocols.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from vpndiag.protocols.ike.algorithms import Encryption, Group, Hash
from vpndiag.protocols.ike.ciphers import CipherSpec, digest_size, hash_data, prf
from vpndiag.protocols.ike.dh import SUPPORTED_GROUPS, KeyPair, modp_prime, public_value_size
from vpndiag.protocols.ike.keys import (
    CipherState,
    Phase1Keys,
    expand_cipher_key,
    phase2_iv,
    skeyid_psk,
    skeyid_signature,
)

AES256 = CipherSpec.of(Encryption.AES_CBC, 256)
MODP = [g for g in sorted(SUPPORTED_GROUPS) if Group(g).name.startswith("MODP")]


def probably_prime(number: int, rounds: int = 2) -> bool:
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (3, 5, 7, 11)[:rounds]:
        x = pow(base, odd, number)
        if x in (1, number - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % number
            if x == number - 1:
                break
        else:
            return False
    return True


@pytest.mark.parametrize("group", [g for g in MODP if g <= Group.MODP3072])
def test_modp_primes_are_safe_primes(group: int) -> None:
    """The published constants are the smallest that make p and (p - 1) / 2 prime: a wrong digit
    of pi or a wrong constant would not give a prime."""
    prime = modp_prime(group)
    assert prime.bit_length() == public_value_size(group) * 8
    assert probably_prime(prime)
    assert probably_prime((prime - 1) // 2)


@pytest.mark.parametrize("group", [Group.MODP4096, Group.MODP6144, Group.MODP8192])
def test_the_large_modp_primes_are_prime(group: int) -> None:
    assert probably_prime(modp_prime(group), rounds=1)


@pytest.mark.parametrize("group", MODP)
def test_modp_primes_start_and_end_as_published(group: int) -> None:
    text = f"{modp_prime(group):x}"
    assert text.startswith("ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd1")
    assert text.endswith("ffffffffffffffff")


def test_the_whole_of_group_2() -> None:
    assert f"{modp_prime(Group.MODP1024):X}" == (
        "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08"
        "798E3404DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637"
        "ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF"
    )


@pytest.mark.parametrize("group", sorted(SUPPORTED_GROUPS - {Group.MODP6144, Group.MODP8192}))
def test_both_sides_get_the_same_secret_and_the_same_seed_the_same_keys(group: int) -> None:
    a = KeyPair.generate(group, Random(1).randbytes)
    b = KeyPair.generate(group, Random(2).randbytes)
    assert a == KeyPair.generate(group, Random(1).randbytes)
    assert a.public != b.public
    assert len(a.public) == public_value_size(group)
    secret = a.shared_secret(b.public)
    assert secret == b.shared_secret(a.public)
    assert len(secret) == (len(a.public) if group in MODP else len(a.public) // 2)
    assert str(a.private) not in repr(a)


def test_modp_primes_are_those_of_scapy() -> None:
    groups = pytest.importorskip("scapy.layers.tls.crypto.groups")
    for group in MODP:
        assert getattr(groups, Group(group).name.lower()).m == modp_prime(group)


def test_ecp256_of_rfc_5903() -> None:
    """RFC 5903 section 8.1."""
    private = int("C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433", 16)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    drawn = ((private - 1) % (order - 1)).to_bytes(40, "big")
    pair = KeyPair.generate(Group.ECP256, lambda count: drawn[-count:])
    assert pair.private == private
    assert pair.public.hex().upper() == (
        "DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C3772581180"
        "5271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3"
    )
    peer = bytes.fromhex(
        "D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63"
        "56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB"
    )
    assert pair.shared_secret(peer).hex().upper() == (
        "D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE"
    )


@pytest.mark.parametrize("group", [Group.MODP1024, Group.ECP256, Group.ECP384, Group.ECP521])
def test_degenerate_public_values_are_refused(group: int) -> None:
    pair = KeyPair.generate(group, Random(4).randbytes)
    size = public_value_size(group)
    bad = [bytes(size), bytes(size - 1) + b"\1", pair.public[:-1], pair.public + b"\0", b""]
    bad.append(b"\xff" * size)
    if group == Group.MODP1024:
        prime = modp_prime(group)
        bad += [(prime - 1).to_bytes(size, "big"), prime.to_bytes(size, "big")]
    else:
        bad.append(pair.public[:-1] + bytes((pair.public[-1] ^ 1,)))
    for value in bad:
        with pytest.raises(RemoteProtocolError):
            pair.shared_secret(value)


def test_unknown_algorithms_are_our_own_error() -> None:
    with pytest.raises(LocalProtocolError):
        KeyPair.generate(Group.EC2N155, Random(1).randbytes)
    with pytest.raises(LocalProtocolError):
        CipherSpec.of(Encryption.IDEA_CBC)
    with pytest.raises(LocalProtocolError):
        CipherSpec.of(Encryption.AES_CBC, 100)
    with pytest.raises(LocalProtocolError):
        prf(Hash.TIGER, b"", b"")


@pytest.mark.parametrize(
    ("encryption", "key", "iv", "plain", "cipher"),
    [
        (  # RFC 3602 section 4, case 1
            Encryption.AES_CBC,
            "06a9214036b8a15b512e03d534120006",
            "3dafba429d9eb430b422da802c9fac41",
            b"Single block msg",
            "e353779c1079aeb82708942dbe77181a",
        ),
        (  # FIPS 81 appendix C
            Encryption.DES_CBC,
            "0123456789abcdef",
            "1234567890abcdef",
            b"Now is the time for all ",
            "e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6",
        ),
        (  # the same with three equal keys
            Encryption.TRIPLE_DES_CBC,
            "0123456789abcdef" * 3,
            "1234567890abcdef",
            b"Now is the time for all ",
            "e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6",
        ),
    ],
)
def test_published_cipher_vectors(
    encryption: int, key: str, iv: str, plain: bytes, cipher: str
) -> None:
    spec = CipherSpec.of(encryption, 128)
    raw_key, raw_iv = bytes.fromhex(key), bytes.fromhex(iv)
    assert spec.encrypt(raw_key, raw_iv, plain).hex() == cipher
    assert spec.decrypt(raw_key, raw_iv, bytes.fromhex(cipher)) == plain


@pytest.mark.parametrize(
    ("hash_id", "key", "mac"),
    [  # "Hi There": RFC 2202 and RFC 4231, test case 1
        (Hash.MD5, b"\x0b" * 16, "9294727a3638bb1c13f48ef8158bfc9d"),
        (Hash.SHA1, b"\x0b" * 20, "b617318655057264e28bc0b6fb378c8ef146be00"),
        (
            Hash.SHA2_256,
            b"\x0b" * 20,
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
    ],
)
def test_published_prf_vectors(hash_id: int, key: bytes, mac: str) -> None:
    assert prf(hash_id, key, b"Hi There").hex() == mac


@pytest.mark.parametrize(
    ("hash_id", "name"),
    [(1, "md5"), (2, "sha1"), (4, "sha256"), (5, "sha384"), (6, "sha512")],
)
def test_hash_numbers_stand_for_their_hashes(hash_id: int, name: str) -> None:
    assert hash_data(hash_id, b"abc") == hashlib.new(name, b"abc").digest()
    assert prf(hash_id, b"k", b"abc") == hmac.new(b"k", b"abc", name).digest()
    assert digest_size(hash_id) == len(hash_data(hash_id, b""))


def test_a_short_skeyid_e_is_stretched_as_appendix_b_says() -> None:
    skeyid_e = bytes(range(20))
    k1 = hmac.new(skeyid_e, b"\0", "sha1").digest()
    k2 = hmac.new(skeyid_e, k1, "sha1").digest()
    assert expand_cipher_key(Hash.SHA1, skeyid_e, 32) == (k1 + k2)[:32]
    assert expand_cipher_key(Hash.SHA1, skeyid_e, 16) == skeyid_e[:16]


def test_skeyid_of_both_methods() -> None:
    assert skeyid_psk(Hash.SHA1, b"psk", b"ni", b"nr") == (
        hmac.new(b"psk", b"ninr", "sha1").digest()
    )
    assert skeyid_signature(Hash.SHA1, b"ni", b"nr", b"gxy") == (
        hmac.new(b"ninr", b"gxy", "sha1").digest()
    )


def keys() -> Phase1Keys:
    return Phase1Keys.derive(Hash.SHA1, AES256, b"s" * 20, b"g" * 128, b"i" * 8, b"r" * 8)


def test_the_skeyid_chain_is_the_one_of_rfc_2409() -> None:
    k = keys()
    context = b"g" * 128 + b"i" * 8 + b"r" * 8
    d = hmac.new(b"s" * 20, context + b"\0", "sha1").digest()
    a = hmac.new(b"s" * 20, d + context + b"\1", "sha1").digest()
    e = hmac.new(b"s" * 20, a + context + b"\2", "sha1").digest()
    assert (k.skeyid_d, k.skeyid_a, k.skeyid_e) == (d, a, e)
    assert len(k.cipher_key) == 32


def test_pfs_changes_the_key_material_and_each_spi_has_its_own() -> None:
    k = keys()
    plain = k.keymat(3, b"\0\0\0\1", b"ni", b"nr", 52)
    assert len(plain) == 52
    assert plain != k.keymat(3, b"\0\0\0\2", b"ni", b"nr", 52)
    assert plain != k.keymat(3, b"\0\0\0\1", b"ni", b"nr", 52, b"pfs")
    assert plain[:20] == hmac.new(k.skeyid_d, b"\3\0\0\0\1ninr", "sha1").digest()
    assert plain[20:40] == hmac.new(k.skeyid_d, plain[:20] + b"\3\0\0\0\1ninr", "sha1").digest()
    with pytest.raises(LocalProtocolError):
        k.keymat(3, b"\0\0\0\1", b"ni", b"nr", 100_000)


def test_keys_are_not_shown() -> None:
    k = keys()
    assert k.cipher_key.hex() not in repr(k)
    assert repr(k.cipher_key)[2:-1] not in repr(k)
    assert repr(CipherState(Hash.SHA1, AES256, k.cipher_key, bytes(16))) == (
        f"CipherState({AES256!r})"
    )


def pair() -> tuple[CipherState, CipherState]:
    key = keys().cipher_key
    return (
        CipherState(Hash.SHA1, AES256, key, b"v" * 16),
        CipherState(Hash.SHA1, AES256, key, b"v" * 16),
    )


def exchange(sender: CipherState, receiver: CipherState, message_id: int, text: bytes) -> bytes:
    ciphertext = sender.encrypt(message_id, text)
    assert receiver.decrypt(message_id, ciphertext).rstrip(b"\0") == text
    receiver.accept(message_id, ciphertext)
    return ciphertext


def test_both_directions_share_the_chain_of_a_message_id() -> None:
    a, b = pair()
    first = exchange(a, b, 0, b"MM5")
    last = exchange(b, a, 0, b"MM6")
    assert first != last
    quick = exchange(a, b, 7, b"QM1")
    assert quick == AES256.encrypt(
        keys().cipher_key, phase2_iv(Hash.SHA1, AES256, last[-16:], 7), b"QM1"
    )
    other = exchange(a, b, 8, b"QM1")
    assert other != quick
    exchange(b, a, 7, b"QM2")
    exchange(b, a, 8, b"QM2")


def test_a_retransmission_decrypts_again_and_does_not_advance_the_chain() -> None:
    a, b = pair()
    first = exchange(a, b, 0, b"MM5")
    assert b.is_repeat(0, first)
    for _ in range(3):
        assert b.decrypt(0, first).rstrip(b"\0") == b"MM5"
        b.accept(0, first)
    last = exchange(b, a, 0, b"MM6")
    b.accept(0, first)
    assert a.decrypt(0, last).rstrip(b"\0") == b"MM6"
    exchange(a, b, 9, b"QM1")


def test_a_forged_message_does_not_break_the_chain() -> None:
    a, b = pair()
    b.decrypt(0, b"x" * 32)
    exchange(a, b, 0, b"MM5")
    b.decrypt(5, b"y" * 32)
    exchange(a, b, 5, b"QM1")


def test_the_number_of_remembered_chains_is_bounded() -> None:
    key = keys().cipher_key
    state = CipherState(Hash.SHA1, AES256, key, bytes(16), max_chains=4)
    for message_id in range(1, 50):
        state.encrypt(message_id, b"x")
    assert len(state._chains) == 4


@pytest.mark.parametrize("size", [0, 1, 15, 17])
def test_partial_blocks_are_the_peers_fault(size: int) -> None:
    with pytest.raises(RemoteProtocolError):
        pair()[0].decrypt(0, bytes(size))


@settings(max_examples=50)
@given(st.integers(0, 0xFFFFFFFF), st.binary(max_size=100))
def test_any_ciphertext_decrypts_or_is_our_error(message_id: int, ciphertext: bytes) -> None:
    state = pair()[0]
    try:
        assert len(state.decrypt(message_id, ciphertext)) == len(ciphertext)
    except ProtocolError as error:
        assert isinstance(error, RemoteProtocolError)
