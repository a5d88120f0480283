"""Diffie-Hellman groups of IKE (RFC 2409 section 6, RFC 3526, RFC 5903)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ec

from vpndiag.protocols.errors import LocalProtocolError, RemoteProtocolError
from vpndiag.protocols.ike.algorithms import Group
from vpndiag.protocols.ike.constants import name_of
from vpndiag.records import record

# group: (size in bits, the added constant of "2^n - 2^(n-64) - 1 + 2^64 * ([2^(n-130) pi] + c)",
# bits of a private exponent: twice the group's strength or more)
_MODP: dict[int, tuple[int, int, int]] = {
    Group.MODP768: (768, 149686, 256),
    Group.MODP1024: (1024, 129093, 256),
    Group.MODP1536: (1536, 741804, 256),
    Group.MODP2048: (2048, 124476, 256),
    Group.MODP3072: (3072, 1690314, 288),
    Group.MODP4096: (4096, 240904, 320),
    Group.MODP6144: (6144, 929484, 384),
    Group.MODP8192: (8192, 4743158, 448),
}
_GENERATOR = 2

# group: (curve, bytes of a coordinate, order)
_ECP: dict[int, tuple[Callable[[], ec.EllipticCurve], int, int]] = {
    Group.ECP256: (
        ec.SECP256R1,
        32,
        0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    ),
    Group.ECP384: (
        ec.SECP384R1,
        48,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    ),
    Group.ECP521: (
        ec.SECP521R1,
        66,
        0x01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
    ),
}

SUPPORTED_GROUPS: frozenset[int] = frozenset(_MODP) | frozenset(_ECP)


@lru_cache(maxsize=1)
def _pi(bits: int = 8192) -> int:
    """floor(pi * 2^bits) by Machin's formula, with guard bits against rounding."""
    guard = 64
    one = 1 << (bits + guard)

    def arctan_inverse(x: int) -> int:
        total = term = one // x
        n, sign = 3, -1
        while term:
            term //= x * x
            total += sign * (term // n)
            n, sign = n + 2, -sign
        return total

    return (16 * arctan_inverse(5) - 4 * arctan_inverse(239)) >> guard


@lru_cache(maxsize=16)
def modp_prime(group: int) -> int:
    """The prime of a MODP group, from its defining formula (RFC 2412 appendix E, RFC 3526).

    :raises LocalProtocolError: not a supported MODP group.
    """
    if group not in _MODP:
        raise LocalProtocolError(f"{name_of(Group, group)} is not a supported MODP group")
    size, constant, _ = _MODP[group]
    digits = _pi() >> (8192 - (size - 130))
    return (1 << size) - (1 << (size - 64)) - 1 + ((digits + constant) << 64)


def public_value_size(group: int) -> int:
    """Bytes in a KE payload for this group.

    :raises LocalProtocolError: not one of :data:`SUPPORTED_GROUPS`.
    """
    if group in _MODP:
        return _MODP[group][0] // 8
    if group in _ECP:
        return 2 * _ECP[group][1]
    raise LocalProtocolError(f"DH group {name_of(Group, group)} is not supported")


@record(frozen=True, slots=True)
class KeyPair:
    """A private key and the public value that goes into the KE payload.

    MODP: the number, padded to the size of the prime. ECP: x and y without a format byte
    (RFC 5903 section 7).
    """

    group: int
    public: bytes
    private: int = field(repr=False)

    @classmethod
    def generate(cls, group: int, random_bytes: Callable[[int], bytes]) -> KeyPair:
        """A key pair that depends on nothing but the group and the bytes drawn.

        :raises LocalProtocolError: not one of :data:`SUPPORTED_GROUPS`.
        """
        size = public_value_size(group)
        if group in _MODP:
            exponent_bits = _MODP[group][2]
            secret = int.from_bytes(random_bytes(exponent_bits // 8), "big")
            secret |= 1 << (exponent_bits - 1)  # always the full length, never 0 or 1
            public = pow(_GENERATOR, secret, modp_prime(group))
            return cls(group, public.to_bytes(size, "big"), secret)
        curve, coordinate, order = _ECP[group]
        # eight bytes more than needed make the reduction's bias negligible
        drawn = int.from_bytes(random_bytes(coordinate + 8), "big")
        secret = drawn % (order - 1) + 1
        point = ec.derive_private_key(secret, curve()).public_key().public_numbers()
        return cls(
            group,
            point.x.to_bytes(coordinate, "big") + point.y.to_bytes(coordinate, "big"),
            secret,
        )

    def shared_secret(self, peer_public: bytes) -> bytes:
        """g^xy: padded to the size of the prime, or the x coordinate (RFC 5903 section 7).

        :raises RemoteProtocolError: wrong length, a value outside of 2..p-2 or a point that is
            not on the curve.
        """
        size = public_value_size(self.group)
        if len(peer_public) != size:
            raise RemoteProtocolError(
                f"the peer's {name_of(Group, self.group)} public value has {len(peer_public)} "
                f"bytes, not {size}"
            )
        if self.group in _MODP:
            prime = modp_prime(self.group)
            number = int.from_bytes(peer_public, "big")
            if not 2 <= number <= prime - 2:
                raise RemoteProtocolError("the peer's Diffie-Hellman public value is degenerate")
            return pow(number, self.private, prime).to_bytes(size, "big")
        curve, coordinate, _ = _ECP[self.group]
        try:
            point = ec.EllipticCurvePublicNumbers(
                int.from_bytes(peer_public[:coordinate], "big"),
                int.from_bytes(peer_public[coordinate:], "big"),
                curve(),
            ).public_key()
        except ValueError:
            raise RemoteProtocolError("the peer's public value is not on the curve") from None
        return ec.derive_private_key(self.private, curve()).exchange(ec.ECDH(), point)
