"""The error tree of all protocol code.

Two branches, after h11: what *we* tried and the protocol forbids (:class:`LocalProtocolError`,
a bug or a wrong option), and what the *peer* did (:class:`RemoteProtocolError`, an observation).
Code that reads bytes from the network raises nothing but :class:`RemoteProtocolError`.
"""

from __future__ import annotations


class ProtocolError(Exception):
    """Root of the tree; never raised itself."""


class LocalProtocolError(ProtocolError):
    """We tried something that the protocol or our own limits do not allow."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something that the protocol does not allow."""


class DecodeError(RemoteProtocolError):
    """Bytes that do not decode.

    ``what`` names the field, ``offset`` is counted in bytes from the start of the message.
    """

    def __init__(self, what: str, offset: int = 0) -> None:
        super().__init__(what, offset)
        self.what = what
        self.offset = offset

    def __str__(self) -> str:
        return f"{self.what} (at byte {self.offset})"


class IntegrityError(RemoteProtocolError):
    """A message whose integrity check, hash or padding is wrong: not from the peer we share keys
    with, damaged, or protected with other keys or another algorithm."""
