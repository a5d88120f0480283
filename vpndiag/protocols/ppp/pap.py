"""PAP: codec and both roles (RFC 1334 section 2)."""

from __future__ import annotations

from dataclasses import field

from vpndiag.protocols.errors import DecodeError
from vpndiag.protocols.ppp.packet import encode_header, read_header
from vpndiag.protocols.wire import Reader
from vpndiag.records import record

REQUEST, ACK, NAK = 1, 2, 3
NAMES = {REQUEST: "Authenticate-Request", ACK: "Authenticate-Ack", NAK: "Authenticate-Nak"}


@record(frozen=True, slots=True)
class PapRequest:
    """Authenticate-Request; the password stays out of ``repr``."""

    identifier: int
    peer_id: bytes
    password: bytes = field(repr=False)
    code: int = REQUEST

    def masked(self) -> PapRequest:
        """The same without the password, for events."""
        return PapRequest(self.identifier, self.peer_id, b"")


@record(frozen=True, slots=True)
class PapReply:
    """Authenticate-Ack or -Nak with the peer's raw text."""

    code: int
    identifier: int
    message: bytes = b""


PapPacket = PapRequest | PapReply


def encode_pap(packet: PapPacket) -> bytes:
    if isinstance(packet, PapRequest):
        body = bytes((len(packet.peer_id),)) + packet.peer_id
        body += bytes((len(packet.password),)) + packet.password
    else:
        body = bytes((len(packet.message),)) + packet.message
    return encode_header(packet.code, packet.identifier, body)


def decode_pap(data: bytes) -> PapPacket:
    """Read a PAP packet. The Message of an Ack or Nak may be absent altogether, as some servers
    leave it out.

    :raises DecodeError: cut, or an unknown code.
    """
    code, identifier, body = read_header(data, "PAP")
    reader = Reader(body, 4)
    if code == REQUEST:
        peer_id = reader.take(reader.u8("Peer-ID length"), "Peer-ID")
        return PapRequest(identifier, peer_id, reader.take(reader.u8("Passwd length"), "Password"))
    if code in (ACK, NAK):
        if not len(reader):
            return PapReply(code, identifier)
        length = reader.u8("message length")
        return PapReply(code, identifier, reader.take(min(length, len(reader)), "message"))
    raise DecodeError(f"PAP code {code}", 0)


def pap_text(packet: PapPacket) -> str:
    """One printable line; the password is never part of it."""
    head = f"PAP {NAMES[packet.code]} id {packet.identifier}"
    if isinstance(packet, PapRequest):
        return f"{head}: user {ascii(packet.peer_id)[1:]}, password ***"
    return f"{head}: {ascii(packet.message)[1:]}" if packet.message else head
