"""What all ISAKMP payloads have in common (RFC 2408 section 3.2)."""

from __future__ import annotations

from dataclasses import field
from functools import lru_cache

from vpndiag.protocols.ike.constants import PayloadType, name_of
from vpndiag.records import record


@record(frozen=True, slots=True)
class Payload:
    """Base of all payloads; ``body`` never includes the generic payload header.

    ``raw`` is the body as it was received and None for a payload that we made. It takes no part
    in comparisons. Whoever changes a received payload with :func:`dataclasses.replace` also sets
    ``raw=None``.
    """

    raw: bytes | None = field(default=None, compare=False, repr=False, kw_only=True)

    @property
    def payload_type(self) -> int:
        """The number that the preceding header's next-payload field carries."""
        raise NotImplementedError

    def encode_body(self) -> bytes:
        """The body made from the fields.

        :raises LocalProtocolError: a field does not fit.
        """
        raise NotImplementedError

    @property
    def body(self) -> bytes:
        """The body as received or as it will be sent: what hashes cover (``SAi_b``)."""
        return self.encode_body() if self.raw is None else self.raw

    @property
    def label(self) -> str:
        # As a plain number: members of an enumeration are slow to look up.
        return _label(int(self.payload_type))


@lru_cache(maxsize=256)
def _label(kind: int) -> str:
    return name_of(PayloadType, kind)


@record(frozen=True, slots=True)
class RawPayload(Payload):
    """A payload of a type that is not decoded further."""

    type: int
    data: bytes

    @property
    def payload_type(self) -> int:
        return self.type

    def encode_body(self) -> bytes:
        return self.data
