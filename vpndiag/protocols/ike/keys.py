"""Key derivation, authentication hashes and cipher state of IKEv1 (RFC 2409).

``hash_id`` is the negotiated phase 1 hash (:class:`~vpndiag.protocols.ike.algorithms.Hash`), whose
HMAC is the prf. Names follow RFC 2409: ``SAi_b`` and the like are payload bodies without the
generic header.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import field

from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.ike.ciphers import CipherSpec, hash_data, prf
from vpndiag.protocols.wire import u16, u32
from vpndiag.records import record

MAX_KEYMAT = 1024
"""Bytes of key material of one SA."""


def skeyid_psk(hash_id: int, psk: bytes, ni: bytes, nr: bytes) -> bytes:
    """SKEYID for pre-shared keys: prf(psk, Ni_b | Nr_b) (RFC 2409 section 5)."""
    return prf(hash_id, psk, ni + nr)


def skeyid_signature(hash_id: int, ni: bytes, nr: bytes, shared: bytes) -> bytes:
    """SKEYID for signatures: prf(Ni_b | Nr_b, g^xy) (RFC 2409 section 5)."""
    return prf(hash_id, ni + nr, shared)


def expand_cipher_key(hash_id: int, skeyid_e: bytes, size: int) -> bytes:
    """The cipher key out of SKEYID_e (RFC 2409 appendix B): cut, or stretched when too short."""
    if len(skeyid_e) >= size:
        return skeyid_e[:size]
    block = prf(hash_id, skeyid_e, b"\0")
    stretched = block
    while len(stretched) < size:
        block = prf(hash_id, skeyid_e, block)
        stretched += block
    return stretched[:size]


def phase1_iv(hash_id: int, spec: CipherSpec, g_xi: bytes, g_xr: bytes) -> bytes:
    """The first IV: hash(g^xi | g^xr), cut to the block size (RFC 2409 appendix B)."""
    return hash_data(hash_id, g_xi + g_xr)[: spec.block_size]


def phase2_iv(hash_id: int, spec: CipherSpec, last_block: bytes, message_id: int) -> bytes:
    """The IV of a new message id: hash(last phase 1 block | M-ID) (RFC 2409 appendix B)."""
    return hash_data(hash_id, last_block + u32(message_id))[: spec.block_size]


@record(frozen=True, slots=True)
class Phase1Keys:
    """All keys of an IKE SA."""

    hash_id: int
    spec: CipherSpec
    skeyid: bytes = field(repr=False)
    skeyid_d: bytes = field(repr=False)
    skeyid_a: bytes = field(repr=False)
    skeyid_e: bytes = field(repr=False)
    cipher_key: bytes = field(repr=False)

    @classmethod
    def derive(
        cls,
        hash_id: int,
        spec: CipherSpec,
        skeyid: bytes,
        shared: bytes,
        cky_i: bytes,
        cky_r: bytes,
    ) -> Phase1Keys:
        """SKEYID_d, _a and _e and the cipher key (RFC 2409 section 5).

        :param shared: g^xy as :meth:`vpndiag.protocols.ike.dh.KeyPair.shared_secret` gives it.
        """
        context = shared + cky_i + cky_r
        skeyid_d = prf(hash_id, skeyid, context + b"\0")
        skeyid_a = prf(hash_id, skeyid, skeyid_d + context + b"\1")
        skeyid_e = prf(hash_id, skeyid, skeyid_a + context + b"\2")
        key = expand_cipher_key(hash_id, skeyid_e, spec.key_size)
        return cls(hash_id, spec, skeyid, skeyid_d, skeyid_a, skeyid_e, key)

    def hash_i(
        self, g_xi: bytes, g_xr: bytes, cky_i: bytes, cky_r: bytes, sai_b: bytes, idii_b: bytes
    ) -> bytes:
        """HASH_I (RFC 2409 section 5), for every authentication method."""
        return prf(self.hash_id, self.skeyid, g_xi + g_xr + cky_i + cky_r + sai_b + idii_b)

    def hash_r(
        self, g_xi: bytes, g_xr: bytes, cky_i: bytes, cky_r: bytes, sai_b: bytes, idir_b: bytes
    ) -> bytes:
        """HASH_R (RFC 2409 section 5). It covers the initiator's SA payload as well."""
        return prf(self.hash_id, self.skeyid, g_xr + g_xi + cky_r + cky_i + sai_b + idir_b)

    def quick_hash_1(self, message_id: int, rest: bytes) -> bytes:
        """HASH(1) of quick mode (RFC 2409 section 5.5).

        :param rest: all payloads behind the HASH payload, with generic headers, without padding.
        """
        return prf(self.hash_id, self.skeyid_a, u32(message_id) + rest)

    def quick_hash_2(self, message_id: int, ni: bytes, rest: bytes) -> bytes:
        """HASH(2) of quick mode; ``rest`` as in :meth:`quick_hash_1`, of the second message."""
        return prf(self.hash_id, self.skeyid_a, u32(message_id) + ni + rest)

    def quick_hash_3(self, message_id: int, ni: bytes, nr: bytes) -> bytes:
        """HASH(3) of quick mode (RFC 2409 section 5.5)."""
        return prf(self.hash_id, self.skeyid_a, b"\0" + u32(message_id) + ni + nr)

    def informational_hash(self, message_id: int, rest: bytes) -> bytes:
        """HASH(1) of an informational exchange (RFC 2409 section 5.7)."""
        return prf(self.hash_id, self.skeyid_a, u32(message_id) + rest)

    def keymat(
        self,
        protocol: int,
        spi: bytes,
        ni: bytes,
        nr: bytes,
        size: int,
        pfs_shared: bytes = b"",
    ) -> bytes:
        """KEYMAT of one SA (RFC 2409 section 5.5): the encryption key, then the integrity key.

        :param spi: of the SA's receiver, so that each direction has its own keys.
        :param pfs_shared: g(qm)^xy, empty without PFS.
        :raises LocalProtocolError: more than :data:`MAX_KEYMAT` bytes.
        """
        if size > MAX_KEYMAT:
            raise LocalProtocolError(f"{size} bytes of key material are too many")
        seed = pfs_shared + bytes((protocol,)) + spi + ni + nr
        block = prf(self.hash_id, self.skeyid_d, seed)
        out = block
        while len(out) < size:
            block = prf(self.hash_id, self.skeyid_d, block + seed)
            out += block
        return out[:size]


def nat_d_hash(
    hash_id: int,
    cky_i: bytes,
    cky_r: bytes,
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    port: int,
) -> bytes:
    """HASH(CKY-I | CKY-R | IP | Port) (RFC 3947 section 3.2)."""
    return hash_data(hash_id, cky_i + cky_r + address.packed + u16(port))


@record(slots=True)
class _Chain:
    """CBC chain of one message id: the next IV, and which IV each seen message had."""

    next_iv: bytes
    seen: OrderedDict[bytes, bytes] = field(default_factory=OrderedDict)


class CipherState:
    """The running IVs of an IKE SA, one chain per message id (RFC 2409 appendix B).

    Both peers' messages of one exchange share a chain: the last block of each message is the IV
    of the next one. A retransmission is the same ciphertext again: it decrypts with the IV that
    it had the first time and does not advance the chain. Decrypting does not advance the chain
    either until :meth:`accept` says that the message was good, so that a forged or damaged one
    cannot break it.

    It works from nothing but the cipher key and the first IV, so also for a capture and the key
    of Wireshark's ``ikev1_decryption_table``.

    At most ``max_chains`` message ids and ``max_seen`` messages of each are remembered.
    """

    def __init__(
        self,
        hash_id: int,
        spec: CipherSpec,
        key: bytes,
        iv: bytes,
        *,
        max_chains: int = 256,
        max_seen: int = 32,
    ) -> None:
        """:raises LocalProtocolError: wrong size of key or IV."""
        if len(key) != spec.key_size or len(iv) != spec.block_size:
            raise LocalProtocolError("key or IV has the wrong size")
        self._hash_id = hash_id
        self._spec = spec
        self._key = key
        self._phase1 = _Chain(iv)
        self._chains: OrderedDict[int, _Chain] = OrderedDict()
        self._max_chains = max_chains
        self._max_seen = max_seen

    @classmethod
    def from_public_values(
        cls, hash_id: int, spec: CipherSpec, key: bytes, g_xi: bytes, g_xr: bytes
    ) -> CipherState:
        """With the first IV made from both KE payloads: all that a capture and a key give.

        :raises LocalProtocolError: wrong size of the key.
        """
        return cls(hash_id, spec, key, phase1_iv(hash_id, spec, g_xi, g_xr))

    def __repr__(self) -> str:
        return f"CipherState({self._spec!r})"

    @property
    def spec(self) -> CipherSpec:
        return self._spec

    def _chain(self, message_id: int) -> _Chain:
        if message_id == 0:
            return self._phase1
        chain = self._chains.get(message_id)
        if chain is None:
            chain = _Chain(phase2_iv(self._hash_id, self._spec, self._phase1.next_iv, message_id))
            # remembered only by _advance(): until phase 1 has ended the start may still change
        return chain

    def _advance(self, message_id: int, chain: _Chain, ciphertext: bytes) -> None:
        chain.seen[ciphertext] = chain.next_iv
        chain.next_iv = ciphertext[-self._spec.block_size :]
        while len(chain.seen) > self._max_seen:
            chain.seen.popitem(last=False)
        if message_id:
            self._chains[message_id] = chain
            self._chains.move_to_end(message_id)
            while len(self._chains) > self._max_chains:
                self._chains.popitem(last=False)

    def encrypt(self, message_id: int, plaintext: bytes) -> bytes:
        """The next message of ``message_id``; zero-padded. Advances the chain."""
        chain = self._chain(message_id)
        ciphertext = self._spec.encrypt(self._key, chain.next_iv, plaintext)
        self._advance(message_id, chain, ciphertext)
        return ciphertext

    def is_repeat(self, message_id: int, ciphertext: bytes) -> bool:
        """Whether this very message was sent or accepted before."""
        return ciphertext in self._chain(message_id).seen

    def decrypt(self, message_id: int, ciphertext: bytes) -> bytes:
        """The plaintext with padding. Call :meth:`accept` once its hash or form was checked.

        :raises RemoteProtocolError: not a whole number of blocks.
        """
        chain = self._chain(message_id)
        iv = chain.seen.get(ciphertext, chain.next_iv)
        return self._spec.decrypt(self._key, iv, ciphertext)

    def accept(self, message_id: int, ciphertext: bytes) -> None:
        """Advance the chain past a good message; does nothing for a repeat."""
        chain = self._chain(message_id)
        if ciphertext not in chain.seen:
            self._advance(message_id, chain, ciphertext)
