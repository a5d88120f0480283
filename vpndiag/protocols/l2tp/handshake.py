"""The contents of tunnel and call messages (RFC 2661, 6)."""

from __future__ import annotations

from vpndiag.protocols.l2tp.avps import Avp, make
from vpndiag.protocols.l2tp.config import L2tpConfig
from vpndiag.protocols.l2tp.constants import AvpType, MessageType
from vpndiag.protocols.l2tp.events import PeerInfo
from vpndiag.protocols.l2tp.message import ControlMessage
from vpndiag.protocols.l2tp.values import ProtocolVersion, ResultCode

Avps = tuple[Avp, ...]

_CONNECT_SPEED = 100_000_000
"""Bits a second; there is no line whose speed could be told."""
_SYNCHRONOUS = 1

REPLIES = {
    MessageType.SCCRQ: "SCCRP",
    MessageType.SCCRP: "SCCCN",
    MessageType.ICRQ: "ICRP",
    MessageType.ICRP: "ICCN",
}
"""What a message waits for, if more than an acknowledgement."""


def typed(kind: MessageType, *avps: Avp) -> Avps:
    return (make(AvpType.MESSAGE_TYPE, kind), *avps)


def peer_info(message: ControlMessage) -> PeerInfo:
    """From SCCRQ or SCCRP."""
    version = message.value(AvpType.PROTOCOL_VERSION)
    return PeerInfo(
        host_name=message.data(AvpType.HOST_NAME),
        vendor_name=message.data(AvpType.VENDOR_NAME),
        firmware=message.number(AvpType.FIRMWARE_REVISION),
        framing=message.number(AvpType.FRAMING_CAPABILITIES),
        bearer=message.number(AvpType.BEARER_CAPABILITIES),
        receive_window=message.number(AvpType.RECEIVE_WINDOW_SIZE),
        protocol_version=version if isinstance(version, ProtocolVersion) else None,
        tunnel_id=message.number(AvpType.ASSIGNED_TUNNEL_ID),
        challenge=message.data(AvpType.CHALLENGE),
    )


def start_avps(
    kind: MessageType,
    config: L2tpConfig,
    tunnel_id: int,
    challenge: bytes | None,
    response: bytes | None = None,
) -> Avps:
    """SCCRQ or SCCRP."""
    avps = [
        make(AvpType.PROTOCOL_VERSION, ProtocolVersion(1, 0)),
        make(AvpType.FRAMING_CAPABILITIES, config.framing),
    ]
    if config.bearer is not None:
        avps.append(make(AvpType.BEARER_CAPABILITIES, config.bearer))
    if config.firmware is not None:
        avps.append(make(AvpType.FIRMWARE_REVISION, config.firmware))
    avps.append(make(AvpType.HOST_NAME, config.host_name))
    if config.vendor_name is not None:
        avps.append(make(AvpType.VENDOR_NAME, config.vendor_name))
    avps.append(make(AvpType.ASSIGNED_TUNNEL_ID, tunnel_id))
    avps.append(make(AvpType.RECEIVE_WINDOW_SIZE, config.receive_window))
    if challenge is not None:
        avps.append(make(AvpType.CHALLENGE, challenge))
    if response is not None:
        avps.append(make(AvpType.CHALLENGE_RESPONSE, response))
    return typed(kind, *avps)


def connected_avps(response: bytes | None) -> Avps:
    """SCCCN."""
    if response is None:
        return typed(MessageType.SCCCN)
    return typed(MessageType.SCCCN, make(AvpType.CHALLENGE_RESPONSE, response))


def stop_avps(tunnel_id: int, result: ResultCode) -> Avps:
    """StopCCN."""
    return typed(
        MessageType.StopCCN,
        make(AvpType.ASSIGNED_TUNNEL_ID, tunnel_id),
        make(AvpType.RESULT_CODE, result),
    )


def call_avps(session_id: int, serial: int) -> Avps:
    """ICRQ."""
    return typed(
        MessageType.ICRQ,
        make(AvpType.ASSIGNED_SESSION_ID, session_id),
        make(AvpType.CALL_SERIAL_NUMBER, serial),
    )


def call_reply_avps(session_id: int) -> Avps:
    """ICRP."""
    return typed(MessageType.ICRP, make(AvpType.ASSIGNED_SESSION_ID, session_id))


def call_connected_avps(config: L2tpConfig) -> Avps:
    """ICCN."""
    avps = [
        make(AvpType.TX_CONNECT_SPEED, _CONNECT_SPEED),
        make(AvpType.FRAMING_TYPE, _SYNCHRONOUS),
    ]
    if config.sequencing:
        avps.append(make(AvpType.SEQUENCING_REQUIRED, b""))
    return typed(MessageType.ICCN, *avps)


def disconnect_avps(session_id: int, result: ResultCode) -> Avps:
    """CDN."""
    return typed(
        MessageType.CDN,
        make(AvpType.RESULT_CODE, result),
        make(AvpType.ASSIGNED_SESSION_ID, session_id),
    )
