"""MS-CHAPv2 (RFC 2759): responses, the authenticator's proof, and the Failure message.

Secrets are passed as ``str`` and hashed here; no function keeps or returns one.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from vpndiag.protocols.blocks import des_ecb
from vpndiag.protocols.errors import DecodeError
from vpndiag.protocols.ppp.md4 import md4
from vpndiag.protocols.wire import Reader
from vpndiag.records import record

ERRORS = {
    646: "ERROR_RESTRICTED_LOGON_HOURS",
    647: "ERROR_ACCT_DISABLED",
    648: "ERROR_PASSWD_EXPIRED",
    649: "ERROR_NO_DIALIN_PERMISSION",
    691: "ERROR_AUTHENTICATION_FAILURE",
    709: "ERROR_CHANGING_PASSWORD",
}
"""Values of ``E=`` in a Failure packet (RFC 2759 section 6)."""

CHALLENGE_SIZE = 16
RESPONSE_SIZE = 49

_MAGIC1 = b"Magic server to client signing constant"
_MAGIC2 = b"Pad to make it do more than one iteration"


@record(frozen=True, slots=True)
class Response:
    """The 49-byte value of a Response packet (RFC 2759 section 4)."""

    peer_challenge: bytes
    nt_response: bytes
    flags: int = 0

    def encode(self) -> bytes:
        return self.peer_challenge + bytes(8) + self.nt_response + bytes((self.flags,))


def decode_response(value: bytes) -> Response:
    """:raises DecodeError: not 49 bytes."""
    if len(value) != RESPONSE_SIZE:
        raise DecodeError(f"MS-CHAPv2 response of {len(value)} bytes instead of 49")
    reader = Reader(value)
    peer_challenge = reader.take(16, "peer challenge")
    reader.take(8, "reserved")
    return Response(peer_challenge, reader.take(24, "NT response"), reader.u8("flags"))


def nt_password_hash(password: str) -> bytes:
    """MD4 of the password in UTF-16LE (section 8.3)."""
    return md4(password.encode("utf-16-le", "surrogatepass"))


def challenge_hash(peer_challenge: bytes, authenticator_challenge: bytes, user: bytes) -> bytes:
    """8 bytes (section 8.2). A ``DOMAIN\\`` prefix of ``user`` does not take part."""
    name = user.rpartition(b"\\")[2]
    material = peer_challenge + authenticator_challenge + name
    return hashlib.sha1(material, usedforsecurity=False).digest()[:8]


def _des_block(key: bytes, clear: bytes) -> bytes:
    """One DES block under a 56-bit key."""
    number = int.from_bytes(key, "big")
    spread = bytes((number >> shift & 0x7F) << 1 for shift in range(49, -1, -7))
    encryptor = des_ecb(spread).encryptor()
    return encryptor.update(clear) + encryptor.finalize()


def challenge_response(challenge: bytes, password_hash: bytes) -> bytes:
    """24 bytes: the 8-byte ``challenge`` under three DES keys (section 8.5)."""
    padded = password_hash.ljust(21, b"\x00")
    return b"".join(_des_block(padded[i : i + 7], challenge) for i in (0, 7, 14))


def generate_nt_response(
    authenticator_challenge: bytes, peer_challenge: bytes, user: bytes, password: str
) -> bytes:
    """GenerateNTResponse, 24 bytes (section 8.1)."""
    challenge = challenge_hash(peer_challenge, authenticator_challenge, user)
    return challenge_response(challenge, nt_password_hash(password))


def authenticator_response(
    password: str,
    nt_response: bytes,
    peer_challenge: bytes,
    authenticator_challenge: bytes,
    user: bytes,
) -> bytes:
    """GenerateAuthenticatorResponse: ``b"S="`` and 40 upper-case hex digits (section 8.7)."""
    hash_hash = md4(nt_password_hash(password))
    digest = hashlib.sha1(hash_hash + nt_response + _MAGIC1, usedforsecurity=False).digest()
    challenge = challenge_hash(peer_challenge, authenticator_challenge, user)
    proof = hashlib.sha1(digest + challenge + _MAGIC2, usedforsecurity=False).hexdigest()
    return b"S=" + proof.upper().encode()


_PROOF = re.compile(rb"S=([0-9A-Fa-f]{40})")


def read_proof(message: bytes) -> bytes | None:
    """The ``S=`` value of a Success message, 40 upper-case hex digits; None if there is none.

    Tolerates what follows it, such as ``M=`` without the space (Windows Server 2019).
    """
    found = _PROOF.search(message)
    return found.group(1).upper() if found else None


def proof_matches(message: bytes, expected: bytes) -> str:
    """``"verified"``, ``"wrong"`` or ``"absent"`` for a Success message against ``b"S=..."``."""
    proof = read_proof(message)
    if proof is None:
        return "absent"
    return "verified" if hmac.compare_digest(b"S=" + proof, expected) else "wrong"


@record(frozen=True, slots=True)
class Failure:
    """``E=691 R=1 C=<32 hex> V=3 M=<text>``; what is absent or unreadable is None (or empty)."""

    code: int | None
    retry: bool | None
    challenge: bytes | None
    version: int | None
    message: bytes

    @property
    def name(self) -> str | None:
        """``"ERROR_AUTHENTICATION_FAILURE"`` for 691; None for codes without a name."""
        return ERRORS.get(self.code) if self.code is not None else None

    def encode(self) -> bytes:
        parts = [f"E={self.code or 691} R={int(bool(self.retry))}"]
        if self.challenge is not None:
            parts.append(f"C={self.challenge.hex().upper()}")
        parts.append(f"V={3 if self.version is None else self.version}")
        text = " ".join(parts).encode()
        return text + b" M=" + self.message if self.message else text


_FAILURE_CODE = re.compile(rb"E=(\d{1,10})")
_FAILURE_RETRY = re.compile(rb"R=([01])")
_FAILURE_CHALLENGE = re.compile(rb"C=([0-9A-Fa-f]{32})(?![0-9A-Fa-f])")
_FAILURE_VERSION = re.compile(rb"V=(\d{1,10})")


def parse_failure(message: bytes) -> Failure:
    """Read a Failure message, liberally: fields in any order, any of them missing, no spaces."""
    head, marker, text = message.partition(b"M=")
    code = _FAILURE_CODE.search(head)
    retry = _FAILURE_RETRY.search(head)
    challenge = _FAILURE_CHALLENGE.search(head)
    version = _FAILURE_VERSION.search(head)
    return Failure(
        int(code.group(1)) if code else None,
        retry.group(1) == b"1" if retry else None,
        bytes.fromhex(challenge.group(1).decode()) if challenge else None,
        int(version.group(1)) if version else None,
        text if marker else b"",
    )
