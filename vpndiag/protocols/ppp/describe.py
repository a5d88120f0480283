"""Decoding and text for any control or authentication packet, by its PPP protocol number."""

from __future__ import annotations

from vpndiag.protocols.ppp import chap, eap, pap, protocols
from vpndiag.protocols.ppp.chap import ChapPacket, ChapResult, ChapValue
from vpndiag.protocols.ppp.eap import EapPacket
from vpndiag.protocols.ppp.packet import ControlPacket, decode_packet, packet_text
from vpndiag.protocols.ppp.pap import PapPacket, PapReply, PapRequest

Packet = ControlPacket | PapPacket | ChapPacket | EapPacket

CONTROL_PROTOCOLS = frozenset(
    (protocols.LCP, protocols.IPCP, protocols.IPV6CP, protocols.CCP, 0x8023, 0x8281, 0x8207)
)
"""Those whose packets have the form of LCP's."""


def decode_any(protocol: int, payload: bytes) -> Packet | None:
    """The packet in a frame of ``protocol``; None when the protocol is not one with packets that
    are understood here (data, or a protocol unknown).

    A PAP request comes back without its password.

    :raises DecodeError: it does not decode.
    """
    if protocol in CONTROL_PROTOCOLS:
        return decode_packet(protocol, payload)
    if protocol == protocols.PAP:
        packet = pap.decode_pap(payload)
        return packet.masked() if isinstance(packet, PapRequest) else packet
    if protocol == protocols.CHAP:
        return chap.decode_chap(payload)
    if protocol == protocols.EAP:
        return eap.decode_eap(payload)
    return None


def carries_password(protocol: int, payload: bytes) -> bool:
    """True for a PAP Authenticate-Request, whose bytes hold the password in clear."""
    return protocol == protocols.PAP and payload[:1] == bytes((pap.REQUEST,))


def text(protocol: int, packet: Packet) -> str:
    """One printable line; safe for a terminal, never with a password."""
    match packet:
        case PapRequest() | PapReply():
            return pap.pap_text(packet)
        case ChapValue() | ChapResult():
            return chap.chap_text(packet)
        case EapPacket():
            return eap.eap_text(packet)
        case _:
            return packet_text(protocol, packet)
