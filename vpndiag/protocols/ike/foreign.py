"""Messages of exchanges that our engines do not speak: enough to ask whether a gateway does.

IKEv2 (RFC 7296) only as far as IKE_SA_INIT, aggressive mode (RFC 2409 section 5.4) as far as its
first message; and the refusals with which a gateway that speaks only those answers main mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import ip_address

from vpndiag.protocols.ike.algorithms import Group
from vpndiag.protocols.ike.constants import ExchangeType, NotifyType, ProtocolId, V2NotifyType
from vpndiag.protocols.ike.dh import KeyPair
from vpndiag.protocols.ike.message import Header, Message
from vpndiag.protocols.ike.payloads import (
    IdPayload,
    KePayload,
    NoncePayload,
    NotificationPayload,
    VendorIdPayload,
)
from vpndiag.protocols.ike.transforms import IkeTransform, ike_sa
from vpndiag.protocols.wire import u16, u32

RandomBytes = Callable[[int], bytes]

_V2_SA, _V2_KE, _V2_NONCE, _V2_NOTIFY = 33, 34, 40, 41
_KEY_LENGTH = 0x800E
_V2_TRANSFORMS = (
    (1, 12, 256),  # ENCR_AES_CBC
    (1, 12, 128),
    (2, 5, 0),  # PRF_HMAC_SHA2_256
    (2, 2, 0),  # PRF_HMAC_SHA1
    (3, 12, 0),  # AUTH_HMAC_SHA2_256_128
    (3, 2, 0),  # AUTH_HMAC_SHA1_96
    (4, 14, 0),  # 2048-bit MODP
)


def _v2_transform(kind: int, number: int, key_length: int, last: bool) -> bytes:
    attributes = u16(_KEY_LENGTH) + u16(key_length) if key_length else b""
    body = bytes((kind, 0)) + u16(number) + attributes
    return bytes((0 if last else 3, 0)) + u16(len(body) + 4) + body


def _v2_payload(following: int, body: bytes) -> bytes:
    return bytes((following, 0)) + u16(len(body) + 4) + body


def _v2_header(spi_i: bytes, spi_r: bytes, first: int, flags: int, body: bytes) -> bytes:
    exchange = ExchangeType.IKE_SA_INIT
    return (
        spi_i + spi_r + bytes((first, 0x20, exchange, flags)) + u32(0) + u32(28 + len(body)) + body
    )


def ikev2_sa_init(random_bytes: RandomBytes) -> bytes:
    """An IKE_SA_INIT request that common gateways accept."""
    last = len(_V2_TRANSFORMS) - 1
    transforms = b"".join(
        _v2_transform(*item, last=i == last) for i, item in enumerate(_V2_TRANSFORMS)
    )
    proposal = bytes((1, ProtocolId.ISAKMP, 0, len(_V2_TRANSFORMS))) + transforms
    proposal = bytes((0, 0)) + u16(len(proposal) + 4) + proposal
    public = KeyPair.generate(Group.MODP2048, random_bytes).public
    body = (
        _v2_payload(_V2_KE, proposal)
        + _v2_payload(_V2_NONCE, u16(Group.MODP2048) + u16(0) + public)
        + _v2_payload(0, random_bytes(32))
    )
    return _v2_header(random_bytes(8), bytes(8), _V2_SA, 0x08, body)


def ikev2_refusal(request: bytes, random_bytes: RandomBytes) -> bytes:
    """How an IKEv2-only gateway answers an IKE_SA_INIT whose proposal it does not like:
    NO_PROPOSAL_CHOSEN (RFC 7296 section 3.10.1)."""
    body = _v2_payload(0, bytes((0, 0)) + u16(NotifyType.NO_PROPOSAL_CHOSEN))
    return _v2_header(request[:8], random_bytes(8), _V2_NOTIFY, 0x20, body)


def version_refusal(request: bytes) -> bytes:
    """How a gateway answers a message of a version that does not exist yet: INVALID_MAJOR_VERSION,
    with the request's exchange and message ID (RFC 7296 sections 1.5 and 2.5)."""
    body = _v2_payload(0, bytes((0, 0)) + u16(V2NotifyType.INVALID_MAJOR_VERSION))
    length = u32(28 + len(body))
    return (
        request[:16] + bytes((_V2_NOTIFY, 0x20, request[18], 0x20)) + request[20:24] + length + body
    )


def aggressive_mode_1(
    transforms: Sequence[IkeTransform],
    vendor_ids: Sequence[bytes],
    local: str,
    random_bytes: RandomBytes,
) -> bytes:
    """HDR, SA, KE, Ni, IDii. All transforms of one aggressive mode must name one group (RFC 2409
    section 5.4), so only those of the first MODP group of at most 2048 bits are offered."""
    usable = (Group.MODP2048, Group.MODP1024, Group.MODP1536)
    group = next((g for g in usable if any(t.group == g for t in transforms)), Group.MODP2048)
    offered = [t for t in transforms if t.group == group]
    if not offered:
        offered = [replace(transforms[0], group=group)]
    header = Header(
        initiator_cookie=random_bytes(8),
        responder_cookie=bytes(8),
        exchange=ExchangeType.AGGRESSIVE_MODE,
    )
    payloads = (
        ike_sa(offered),
        KePayload(KeyPair.generate(group, random_bytes).public),
        NoncePayload(random_bytes(32)),
        IdPayload.of_address(ip_address(local.partition("%")[0])),
        *(VendorIdPayload(v) for v in vendor_ids),
    )
    return Message(header, payloads).encode()


def clear_notify(request: bytes, notify_type: int, random_bytes: RandomBytes) -> bytes:
    """An unprotected Informational with one notification, in answer to ``request``."""
    header = Header(
        initiator_cookie=request[:8],
        responder_cookie=random_bytes(8),
        exchange=ExchangeType.INFORMATIONAL,
        message_id=int.from_bytes(random_bytes(4), "big") or 1,
    )
    notification = NotificationPayload(notify_type, ProtocolId.ISAKMP)
    return Message(header, (notification,)).encode()
