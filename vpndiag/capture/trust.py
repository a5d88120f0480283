"""Which certificates the client of a capture would accept; the packets do not say."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vpndiag.protocols.errors import ProtocolError
from vpndiag.records import record

MAX_FILE = 4 * 1024 * 1024
_X509_SIGNATURE = 4
"""Certificate encoding (RFC 2408 section 3.9)."""


class TrustError(Exception):
    """A file of authorities that cannot be read; ``str()`` is one line."""


@record(frozen=True, slots=True)
class Trust:
    """``anchors``: DER certificates of the authorities that the client trusts; ``name``: the host
    name or address that it connects to, None: any will do."""

    anchors: tuple[bytes, ...]
    name: str | None = None

    def problem(self, bodies: Iterable[bytes], moment: float) -> str:
        """What is wrong with the CERT payloads of one message at ``moment`` (POSIX seconds), in the
        words of ``certificate-seen``; empty: nothing."""
        # Certificates take long to import, and most captures are judged without.
        from vpndiag.protocols.ike.certificates import ChainStatus, verify_chain

        chain = [body[1:] for body in bodies if body[:1] == bytes((_X509_SIGNATURE,))]
        status = verify_chain(chain, self.anchors, moment, self.name).status
        if status is ChainStatus.OK:
            return ""
        unreadable = status in (ChainStatus.MALFORMED, ChainStatus.NO_CERTIFICATE)
        return "unreadable" if unreadable else status.value


def read_trust(path: Path, name: str | None = None) -> Trust:
    """:raises TrustError: it cannot be read, or holds no certificate."""
    from vpndiag.protocols.ike.certificates import load_certificates

    try:
        with path.open("rb") as file:
            anchors = load_certificates(file.read(MAX_FILE))
    except OSError as error:
        raise TrustError(f"{path}: {error.strerror or type(error).__name__}") from None
    except ProtocolError as error:
        raise TrustError(f"{path}: {error}") from None
    if not anchors:
        raise TrustError(f"{path}: no certificate in this file")
    return Trust(tuple(anchors), name)
