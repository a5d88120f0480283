"""IKE messages of any size that gateways answer without keeping anything of them.

To find out which sizes cross a path, a question is needed that is answered whatever its size, and
that opens no SA: a gateway counts half-open ones by address, and falls silent to who has too many.
Three are known (tried with SoftEther 5.01, strongSwan 5.9, Libreswan 4.10):

- ``unknown-cookie``: a message of an SA that the gateway does not have; INVALID-COOKIE (RFC 2408
  section 5.3). SoftEther answers it.
- ``version``: a header of version 3; INVALID-MAJOR-VERSION (RFC 7296 section 2.5, RFC 2408 section
  5.2). strongSwan and Libreswan answer it.
- ``refused-proposal``: message 1 of main mode with a cipher of the private range;
  NO-PROPOSAL-CHOSEN (RFC 2408 section 5.4). strongSwan and Libreswan answer it; SoftEther does too,
  but under cookies of its own making.

The size is made by a Vendor ID payload, which everybody skips (RFC 2408 section 3.16). It begins
with a mark, so that a capture shows what the message was for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.ike.algorithms import Group, Hash
from vpndiag.protocols.ike.constants import ExchangeType, PayloadType
from vpndiag.protocols.ike.message import HEADER_SIZE, Header, Message
from vpndiag.protocols.ike.payloads import SaPayload, VendorIdPayload
from vpndiag.protocols.ike.transforms import IkeTransform, ike_sa
from vpndiag.records import record

Question = Literal["unknown-cookie", "version", "refused-proposal"]
QUESTIONS: tuple[Question, ...] = ("unknown-cookie", "version", "refused-proposal")

MARK = b"vpndiag size, "
_WHOLE, _FRAGMENTED = b"DF", b"FR"
_FUTURE_VERSION = 3
_PRIVATE_CIPHER = 65001
SHAPES = (0x10, 0x30)
"""Version bytes of these messages."""
_PAYLOAD_HEADER = 4


@record(frozen=True, slots=True)
class Padded:
    """What a message was for. ``whole``: sent with don't-fragment."""

    question: Question
    whole: bool


def padded(
    question: Question, cookie: bytes, size: int, *, whole: bool, random: Callable[[int], bytes]
) -> bytes:
    """A message of exactly ``size`` bytes under the initiator cookie ``cookie``.

    :raises LocalProtocolError: ``size`` is too small for it.
    """
    header = Header(cookie, bytes(8), ExchangeType.MAIN_MODE)
    before: tuple[SaPayload, ...] = ()
    if question == "unknown-cookie":
        header = replace(header, responder_cookie=random(8))
    elif question == "version":
        header = replace(header, major=_FUTURE_VERSION)
    else:
        before = (_refused(),)
    mark = MARK + (_WHOLE if whole else _FRAGMENTED) + b" "
    least = len(Message(header, (*before, VendorIdPayload(mark))).encode())
    if size < least:
        raise LocalProtocolError(f"{size} bytes are too few for a question of {least}")
    padding = bytes(size - least)
    return Message(header, (*before, VendorIdPayload(mark + padding))).encode()


def _refused() -> SaPayload:
    """One proposal that nobody can accept."""
    return ike_sa([IkeTransform(_PRIVATE_CIPHER, None, Hash.SHA1, Group.MODP2048)])


def read_padded(message: bytes) -> Padded | None:
    """The same from the bytes of an IKE message, which need not be complete; None: it is no such
    message."""
    if len(message) < HEADER_SIZE or message[17] not in SHAPES:
        return None
    at, kind = HEADER_SIZE, message[16]
    for _ in range(2):
        if kind not in (PayloadType.SA, PayloadType.VENDOR_ID):
            return None
        body = message[at + _PAYLOAD_HEADER : at + _PAYLOAD_HEADER + len(MARK) + 2]
        if kind == PayloadType.VENDOR_ID and body.startswith(MARK):
            question: Question = "refused-proposal"
            if message[17] >> 4 == _FUTURE_VERSION:
                question = "version"
            elif message[8:16] != bytes(8):
                question = "unknown-cookie"
            return Padded(question, body.endswith(_WHOLE))
        if at + _PAYLOAD_HEADER > len(message):
            return None
        kind, at = message[at], at + int.from_bytes(message[at + 2 : at + 4], "big")
    return None
