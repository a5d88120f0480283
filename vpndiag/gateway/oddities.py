"""Gateways that do not speak main mode: what they say instead. And versions of IKE to come."""

from __future__ import annotations

from vpndiag.gateway.config import IKE_PORT, NATT_PORT
from vpndiag.gateway.site import Address, Site
from vpndiag.protocols.errors import ProtocolError
from vpndiag.protocols.esp.udp import with_marker
from vpndiag.protocols.ike import foreign
from vpndiag.protocols.ike.constants import ExchangeType, IdType, NotifyType
from vpndiag.protocols.ike.dh import KeyPair
from vpndiag.protocols.ike.exchange_main import MainMode, choose, read_key_exchange
from vpndiag.protocols.ike.message import Header, Message, decode
from vpndiag.protocols.ike.payloads import (
    HashPayload,
    IdPayload,
    KePayload,
    NoncePayload,
    SaPayload,
    VendorIdPayload,
)


def answer(site: Site, message: bytes, natt: bool, remote: Address) -> bool:
    """Answer as ``Faults.main_mode`` says; True when the message is dealt with."""
    kind = site.faults.main_mode
    if len(message) < 28:
        return True
    version, exchange = message[17] >> 4, message[18]
    first = message[8:16] == bytes(8)
    reply: bytes | None = None
    if version > 2:
        reply = foreign.version_refusal(message) if first else None
    elif version == 2:
        if kind in ("ikev2-only", "ikev2-notify") and first:
            reply = foreign.ikev2_refusal(message, site.random)
    elif exchange == ExchangeType.AGGRESSIVE_MODE:
        if kind == "aggressive-only" and first:
            reply = _aggressive_2(site, message)
    elif not kind:
        return False
    elif first and exchange == ExchangeType.MAIN_MODE:
        reply = _main_mode(site, kind, message)
    if reply is not None:
        port = NATT_PORT if natt else IKE_PORT
        site.send(port, remote, with_marker(reply) if natt else reply)
    return True


def _main_mode(site: Site, kind: str, message: bytes) -> bytes | None:
    if kind == "notify" and site.faults.notify is not None:
        return foreign.clear_notify(message, site.faults.notify, site.random)
    if kind == "ikev2-notify":
        return foreign.clear_notify(message, NotifyType.INVALID_MAJOR_VERSION, site.random)
    if kind in ("malformed", "no-choice"):
        # An SA payload that claims to be longer than the message, or a proposal without transform.
        body = b"\0\0\xff\xff" + bytes(8)
        if kind == "no-choice":
            body = bytes.fromhex("00000014 00000001 00000001 0000000801010000")
        size = (28 + len(body)).to_bytes(4, "big")
        return message[:8] + site.random(8) + b"\x01\x10\x02\0" + bytes(4) + size + body
    return None


def _aggressive_2(site: Site, data: bytes) -> bytes | None:
    """HDR, SA, KE, Nr, IDir, HASH_R (RFC 2409 section 5.4)."""
    try:
        message = decode(data)
        offered, nonce = message.first(SaPayload), message.first(NoncePayload)
        choice = choose(offered, site.config.ike_transforms) if offered else None
        if choice is None or offered is None or nonce is None:
            return None
        chosen, transform, _number = choice
        main = MainMode(initiator=False)
        main.initiator_cookie = message.header.initiator_cookie
        main.responder_cookie = site.random(8)
        main.transform, main.sai_b = transform, offered.body
        main.pair = KeyPair.generate(transform.group, site.random)
        main.our_nonce = site.random(32)
        main.their_public, main.their_nonce = read_key_exchange(message)
        main.derive(site.config.psk)
        identity = IdPayload(IdType.FQDN, data=site.config.host_name.encode())
        return Message(
            Header(*main.cookies, ExchangeType.AGGRESSIVE_MODE),
            (
                chosen,
                KePayload(main.pair.public),
                NoncePayload(main.our_nonce),
                identity,
                HashPayload(main.auth_hash(False, identity.body)),
                *(VendorIdPayload(v) for v in site.config.vendor_ids),
            ),
        ).encode()
    except ProtocolError:
        return None
