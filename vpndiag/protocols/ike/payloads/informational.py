"""Notification, delete, vendor id, mode-config attributes and IKE fragment payloads."""

from __future__ import annotations

from vpndiag.protocols.errors import DecodeError, LocalProtocolError
from vpndiag.protocols.ike.attributes import Attribute, decode_attributes, encode_attributes
from vpndiag.protocols.ike.constants import (
    DOI_IPSEC,
    NotifyType,
    PayloadType,
    is_error_notify,
    name_of,
)
from vpndiag.protocols.ike.payloads.base import Payload
from vpndiag.protocols.wire import Reader, u16, u32
from vpndiag.records import record

MAX_SPIS = 1024
"""SPIs of one delete payload."""


@record(frozen=True, slots=True)
class NotificationPayload(Payload):
    """Notification (RFC 2408 section 3.14).

    ``spi`` is both cookies (16 bytes), an ESP SPI (4 bytes) or empty.
    """

    notify_type: int
    protocol: int
    spi: bytes = b""
    data: bytes = b""
    doi: int = DOI_IPSEC

    @property
    def payload_type(self) -> int:
        return PayloadType.NOTIFICATION

    @property
    def name(self) -> str:
        return name_of(NotifyType, self.notify_type)

    @property
    def is_error(self) -> bool:
        return is_error_notify(self.notify_type)

    def encode_body(self) -> bytes:
        if len(self.spi) > 255 or not 0 <= self.notify_type < 65536:
            raise LocalProtocolError("notification field out of range")
        return (
            u32(self.doi)
            + bytes((self.protocol, len(self.spi)))
            + u16(self.notify_type)
            + self.spi
            + self.data
        )

    @classmethod
    def decode(cls, body: bytes, base: int = 0) -> NotificationPayload:
        reader = Reader(body, base)
        doi = reader.u32("notification DOI")
        protocol = reader.u8("notification protocol")
        spi_size = reader.u8("notification SPI size")
        notify_type = reader.u16("notify type")
        spi = reader.take(spi_size, "notification SPI")
        return cls(notify_type, protocol, spi, reader.rest(), doi, raw=body)


@record(frozen=True, slots=True)
class DeletePayload(Payload):
    """Delete (RFC 2408 section 3.15): the sender's own SPIs that are gone, all of one size."""

    protocol: int
    spis: tuple[bytes, ...]
    doi: int = DOI_IPSEC

    @property
    def payload_type(self) -> int:
        return PayloadType.DELETE

    def encode_body(self) -> bytes:
        sizes = {len(spi) for spi in self.spis}
        if len(sizes) > 1 or max(sizes, default=0) > 255:
            raise LocalProtocolError("the SPIs of a delete payload have one size")
        size = sizes.pop() if sizes else 0
        return (
            u32(self.doi) + bytes((self.protocol, size)) + u16(len(self.spis)) + b"".join(self.spis)
        )

    @classmethod
    def decode(cls, body: bytes, base: int = 0) -> DeletePayload:
        reader = Reader(body, base)
        doi = reader.u32("delete DOI")
        protocol = reader.u8("delete protocol")
        size = reader.u8("delete SPI size")
        count = reader.u16("delete number of SPIs")
        if count > MAX_SPIS:
            raise DecodeError(f"more than {MAX_SPIS} SPIs", reader.offset)
        spis = tuple(reader.take(size, "delete SPI") for _ in range(count))
        return cls(protocol, spis, doi, raw=body)


@record(frozen=True, slots=True)
class VendorIdPayload(Payload):
    """Vendor id (RFC 2408 section 3.16)."""

    vendor_id: bytes

    @property
    def payload_type(self) -> int:
        return PayloadType.VENDOR_ID

    def encode_body(self) -> bytes:
        return self.vendor_id


@record(frozen=True, slots=True)
class AttributesPayload(Payload):
    """Mode configuration and XAUTH attributes (draft-dukes-ike-mode-cfg section 3.2)."""

    cfg_type: int
    identifier: int
    attributes: tuple[Attribute, ...] = ()

    @property
    def payload_type(self) -> int:
        return PayloadType.ATTRIBUTES

    def encode_body(self) -> bytes:
        return bytes((self.cfg_type, 0)) + u16(self.identifier) + encode_attributes(self.attributes)

    @classmethod
    def decode(cls, body: bytes, base: int = 0) -> AttributesPayload:
        reader = Reader(body, base)
        cfg_type = reader.u8("configuration type")
        reader.u8("configuration reserved")
        identifier = reader.u16("configuration identifier")
        return cls(cfg_type, identifier, decode_attributes(reader), raw=body)


@record(frozen=True, slots=True)
class FragmentPayload(Payload):
    """A piece of a whole ISAKMP message, header included (Cisco and [MS-IKEE] section 2.2.1).

    ``number`` counts from 1; ``last`` marks the final piece.
    """

    fragment_id: int
    number: int
    last: bool
    data: bytes

    @property
    def payload_type(self) -> int:
        return PayloadType.FRAGMENTATION

    def encode_body(self) -> bytes:
        return u16(self.fragment_id) + bytes((self.number, int(self.last))) + self.data

    @classmethod
    def decode(cls, body: bytes, base: int = 0) -> FragmentPayload:
        reader = Reader(body, base)
        fragment_id = reader.u16("fragment id")
        number = reader.u8("fragment number")
        flags = reader.u8("fragment flags")
        return cls(fragment_id, number, bool(flags & 1), reader.rest(), raw=body)
