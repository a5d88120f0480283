"""The security association payload with its proposals and transforms (RFC 2408 3.4 to 3.6)."""

from __future__ import annotations

from vpndiag.protocols.errors import DecodeError, LocalProtocolError
from vpndiag.protocols.ike.attributes import Attribute, decode_attributes, encode_attributes
from vpndiag.protocols.ike.constants import (
    DOI_IPSEC,
    DOI_ISAKMP,
    SIT_IDENTITY_ONLY,
    PayloadType,
)
from vpndiag.protocols.ike.payloads.base import Payload
from vpndiag.protocols.wire import Reader, u16, u32
from vpndiag.records import record

MAX_PROPOSALS = 128
"""Proposals of one SA payload."""
MAX_TRANSFORMS = 1024
"""Transforms of one SA payload, all proposals together."""


@record(frozen=True, slots=True)
class Transform:
    """One transform; attributes in the order on the wire (RFC 2408 section 3.6)."""

    number: int
    transform_id: int
    attributes: tuple[Attribute, ...] = ()

    def get(self, type_: int) -> int | None:
        """The number in the first attribute of this type."""
        for attribute in self.attributes:
            if attribute.type == type_:
                return attribute.int_value
        return None

    def encode(self, last: bool) -> bytes:
        attributes = encode_attributes(self.attributes)
        return (
            bytes((PayloadType.NONE if last else PayloadType.TRANSFORM, 0))
            + u16(8 + len(attributes))
            + bytes((self.number, self.transform_id, 0, 0))
            + attributes
        )


@record(frozen=True, slots=True)
class Proposal:
    """One proposal (RFC 2408 section 3.5): a protocol, the sender's SPI, and alternatives."""

    number: int
    protocol: int
    spi: bytes
    transforms: tuple[Transform, ...]

    def encode(self, last: bool) -> bytes:
        count = len(self.transforms)
        if count > 255 or len(self.spi) > 255:
            raise LocalProtocolError("a proposal has at most 255 transforms and 255 SPI bytes")
        encoded = b"".join(
            transform.encode(index == count - 1) for index, transform in enumerate(self.transforms)
        )
        return (
            bytes((PayloadType.NONE if last else PayloadType.PROPOSAL, 0))
            + u16(8 + len(self.spi) + len(encoded))
            + bytes((self.number, self.protocol, len(self.spi), count))
            + self.spi
            + encoded
        )


@record(frozen=True, slots=True)
class SaPayload(Payload):
    """DOI, situation and proposals.

    Proposals that share a number are meant together (AND), different numbers are alternatives.
    With a DOI other than 0 and 1, or a situation other than SIT_IDENTITY_ONLY, the layout of the
    rest is not known: ``proposals`` is then empty and ``raw`` holds everything.
    """

    proposals: tuple[Proposal, ...]
    doi: int = DOI_IPSEC
    situation: int = SIT_IDENTITY_ONLY

    @property
    def payload_type(self) -> int:
        return PayloadType.SA

    def encode_body(self) -> bytes:
        count = len(self.proposals)
        return (
            u32(self.doi)
            + u32(self.situation)
            + b"".join(
                proposal.encode(index == count - 1) for index, proposal in enumerate(self.proposals)
            )
        )

    @classmethod
    def decode(cls, body: bytes, base: int = 0) -> SaPayload:
        """:raises DecodeError: truncated or too many proposals or transforms."""
        reader = Reader(body, base)
        doi = reader.u32("SA DOI")
        if doi not in (DOI_ISAKMP, DOI_IPSEC):
            return cls((), doi, 0, raw=body)
        situation = reader.u32("SA situation")
        if situation & ~SIT_IDENTITY_ONLY:
            return cls((), doi, situation, raw=body)
        proposals: list[Proposal] = []
        transforms = 0
        while len(reader):
            if len(proposals) >= MAX_PROPOSALS:
                raise DecodeError(f"more than {MAX_PROPOSALS} proposals", reader.offset)
            proposal = _decode_proposal(reader)
            transforms += len(proposal.transforms)
            if transforms > MAX_TRANSFORMS:
                raise DecodeError(f"more than {MAX_TRANSFORMS} transforms", reader.offset)
            proposals.append(proposal)
        return cls(tuple(proposals), doi, situation, raw=body)


def _substructure(reader: Reader, what: str, expected: tuple[int, int]) -> Reader:
    """The rest of a proposal or transform after its length field."""
    start = reader.offset
    following = reader.u8(f"{what} next payload")
    if following not in expected:
        raise DecodeError(f"{what}: next payload {following}", start)
    reader.u8(f"{what} reserved")
    length = reader.u16(f"{what} length")
    if length < 8:
        raise DecodeError(f"{what} length {length} is below 8", start + 2)
    return reader.sub(length - 4, what)


def _decode_proposal(reader: Reader) -> Proposal:
    inner = _substructure(reader, "proposal", (PayloadType.NONE, PayloadType.PROPOSAL))
    number = inner.u8("proposal number")
    protocol = inner.u8("proposal protocol")
    spi_size = inner.u8("SPI size")
    inner.u8("number of transforms")
    spi = inner.take(spi_size, "SPI")
    transforms: list[Transform] = []
    while len(inner):
        if len(transforms) >= MAX_TRANSFORMS:
            raise DecodeError(f"more than {MAX_TRANSFORMS} transforms", inner.offset)
        body = _substructure(inner, "transform", (PayloadType.NONE, PayloadType.TRANSFORM))
        transform_number = body.u8("transform number")
        transform_id = body.u8("transform id")
        body.u16("transform reserved")
        transforms.append(Transform(transform_number, transform_id, decode_attributes(body)))
    return Proposal(number, protocol, spi, tuple(transforms))
