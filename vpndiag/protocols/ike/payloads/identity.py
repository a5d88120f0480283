"""Who somebody is: identification, certificate, certificate request and NAT payloads."""

from __future__ import annotations

import ipaddress

from vpndiag.protocols.errors import DecodeError, LocalProtocolError
from vpndiag.protocols.ike.constants import CertEncoding, IdType, PayloadType, name_of
from vpndiag.protocols.ike.dn import dn_text
from vpndiag.protocols.ike.payloads.base import Payload
from vpndiag.protocols.wire import Reader, u16
from vpndiag.records import record

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(id_type: int, data: bytes) -> IPAddress | None:
    if id_type == IdType.IPV4_ADDR and len(data) == 4:
        return ipaddress.IPv4Address(data)
    if id_type == IdType.IPV6_ADDR and len(data) == 16:
        return ipaddress.IPv6Address(data)
    return None


def _visible(data: bytes) -> str:
    """Peer text as printable ASCII, everything else as backslash escapes."""
    return "".join(chr(b) if 0x20 <= b < 0x7F and b != 0x5C else f"\\x{b:02x}" for b in data)


@record(frozen=True, slots=True)
class IdPayload(Payload):
    """Identification (RFC 2407 section 4.6.2).

    ``protocol`` and ``port`` are the selector: 17/1701 for L2TP in quick mode, 0/0 (or 17/500) in
    phase 1.
    """

    id_type: int
    data: bytes
    protocol: int = 0
    port: int = 0

    @property
    def payload_type(self) -> int:
        return PayloadType.ID

    @classmethod
    def of_address(cls, address: IPAddress, protocol: int = 0, port: int = 0) -> IdPayload:
        """ID_IPV4_ADDR or ID_IPV6_ADDR."""
        id_type = IdType.IPV4_ADDR if address.version == 4 else IdType.IPV6_ADDR
        return cls(id_type, address.packed, protocol, port)

    @property
    def address(self) -> IPAddress | None:
        """The address of an ID_IPV4_ADDR or ID_IPV6_ADDR of the right size."""
        return _address(self.id_type, self.data)

    @property
    def value_text(self) -> str:
        """The identity for people; printable ASCII whatever the peer sent."""
        address = self.address
        if address is not None:
            return str(address)
        kind, data = self.id_type, self.data
        size = 4 if kind in (IdType.IPV4_ADDR_SUBNET, IdType.IPV4_ADDR_RANGE) else 16
        if len(data) == 2 * size and kind in (
            IdType.IPV4_ADDR_SUBNET,
            IdType.IPV4_ADDR_RANGE,
            IdType.IPV6_ADDR_SUBNET,
            IdType.IPV6_ADDR_RANGE,
        ):
            separator = "/" if kind in (IdType.IPV4_ADDR_SUBNET, IdType.IPV6_ADDR_SUBNET) else "-"
            low, high = (ipaddress.ip_address(part) for part in (data[:size], data[size:]))
            return f"{low}{separator}{high}"
        if kind in (IdType.FQDN, IdType.USER_FQDN):
            return _visible(data)
        if kind == IdType.DER_ASN1_DN:
            try:
                return dn_text(data)
            except DecodeError:
                return data.hex()
        if kind == IdType.KEY_ID and data and all(0x20 <= b < 0x7F for b in data):
            return _visible(data)
        return data.hex()

    @property
    def text(self) -> str:
        """Such as ``ID_IPV4_ADDR 192.0.2.1 17/1701``."""
        selector = f" {self.protocol}/{self.port}" if self.protocol or self.port else ""
        return f"{name_of(IdType, self.id_type)} {self.value_text}{selector}"

    def encode_body(self) -> bytes:
        if not (0 <= self.id_type <= 255 and 0 <= self.protocol <= 255 and 0 <= self.port < 65536):
            raise LocalProtocolError("identification field out of range")
        return bytes((self.id_type, self.protocol)) + u16(self.port) + self.data

    @classmethod
    def decode(cls, body: bytes, base: int = 0) -> IdPayload:
        reader = Reader(body, base)
        id_type = reader.u8("ID type")
        protocol = reader.u8("ID protocol")
        port = reader.u16("ID port")
        return cls(id_type, reader.rest(), protocol, port, raw=body)


@record(frozen=True, slots=True)
class CertPayload(Payload):
    """Certificate (RFC 2408 section 3.9): ``encoding`` 4 is one DER X.509 certificate."""

    encoding: int
    data: bytes

    @property
    def payload_type(self) -> int:
        return PayloadType.CERT

    def encode_body(self) -> bytes:
        return bytes((self.encoding,)) + self.data

    @classmethod
    def decode(cls, body: bytes, base: int = 0) -> CertPayload:
        reader = Reader(body, base)
        return cls(reader.u8("certificate encoding"), reader.rest(), raw=body)


@record(frozen=True, slots=True)
class CertRequestPayload(Payload):
    """Certificate request (RFC 2408 section 3.10); ``authority`` is a DER name or empty (any)."""

    encoding: int = CertEncoding.X509_SIGNATURE
    authority: bytes = b""

    @property
    def payload_type(self) -> int:
        return PayloadType.CERTREQ

    def encode_body(self) -> bytes:
        return bytes((self.encoding,)) + self.authority

    @classmethod
    def decode(cls, body: bytes, base: int = 0) -> CertRequestPayload:
        reader = Reader(body, base)
        return cls(reader.u8("certificate request encoding"), reader.rest(), raw=body)


@record(frozen=True, slots=True)
class NatDPayload(Payload):
    """NAT discovery: a hash of cookies, address and port (RFC 3947 section 3.2).

    ``draft`` selects payload number 130 of drafts 00 to 03 in place of 20.
    """

    hash: bytes
    draft: bool = False

    @property
    def payload_type(self) -> int:
        return PayloadType.NAT_D_DRAFT if self.draft else PayloadType.NAT_D

    def encode_body(self) -> bytes:
        return self.hash


@record(frozen=True, slots=True)
class NatOaPayload(Payload):
    """NAT original address (RFC 3947 section 5.2); ``draft`` selects number 131 in place of 21."""

    id_type: int
    data: bytes
    draft: bool = False

    @property
    def payload_type(self) -> int:
        return PayloadType.NAT_OA_DRAFT if self.draft else PayloadType.NAT_OA

    @classmethod
    def of_address(cls, address: IPAddress, draft: bool = False) -> NatOaPayload:
        id_type = IdType.IPV4_ADDR if address.version == 4 else IdType.IPV6_ADDR
        return cls(id_type, address.packed, draft)

    @property
    def address(self) -> IPAddress | None:
        return _address(self.id_type, self.data)

    def encode_body(self) -> bytes:
        return bytes((self.id_type, 0, 0, 0)) + self.data

    @classmethod
    def decode(cls, body: bytes, base: int = 0, draft: bool = False) -> NatOaPayload:
        reader = Reader(body, base)
        id_type = reader.u8("NAT-OA type")
        reader.take(3, "NAT-OA reserved")
        return cls(id_type, reader.rest(), draft, raw=body)
