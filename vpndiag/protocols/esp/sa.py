"""ESP security associations: sealing and opening packets (RFC 2406, RFC 4303).

A packet here starts at the SPI: it is the same with IP protocol 50 and in UDP (RFC 3948).
Extended sequence numbers are not supported: IKEv1 for L2TP does not negotiate them.
"""

from __future__ import annotations

from collections.abc import Callable

from vpndiag.protocols.errors import DecodeError, IntegrityError, LocalProtocolError
from vpndiag.protocols.esp import crypto
from vpndiag.protocols.esp.replay import ReplayWindow, SequenceCheck
from vpndiag.protocols.esp.suites import EspSuite, Integrity
from vpndiag.protocols.wire import Reader, u32
from vpndiag.records import record

NEXT_HEADER_UDP = 17
MAX_SEQUENCE = 0xFFFFFFFF

RandomBytes = Callable[[int], bytes]


@record(frozen=True, slots=True)
class EspHeader:
    """The clear part of a packet."""

    spi: int
    sequence: int


@record(frozen=True, slots=True)
class Opened:
    """A packet that verified.

    ``check`` says what the replay window thinks of the number; drop the packet unless
    ``check.fresh``. ``padding_ok`` is False when the padding is not 1, 2, 3, ... (RFC 4303, 2.4),
    which some senders get wrong and which is no reason to drop a packet whose ICV verified.
    """

    payload: bytes
    next_header: int
    sequence: int
    check: SequenceCheck
    padding_ok: bool = True


def read_header(packet: bytes) -> EspHeader:
    """SPI and sequence number.

    :raises DecodeError: fewer than 8 bytes.
    """
    reader = Reader(packet)
    return EspHeader(reader.u32("ESP SPI"), reader.u32("ESP sequence number"))


class EspSa:
    """One SA, for one direction: :meth:`seal` on the sending, :meth:`open` on the receiving side.

    ``encryption_key`` includes the 4-byte salt for AES-GCM. ``random_bytes`` gives the CBC IVs (GCM
    uses the sequence number, which never repeats within an SA) and may be left out of an SA
    that only opens.

    :raises LocalProtocolError: key lengths that do not fit the suite, or a reserved SPI.
    """

    def __init__(
        self,
        spi: int,
        suite: EspSuite,
        encryption_key: bytes,
        integrity_key: bytes = b"",
        *,
        random_bytes: RandomBytes | None = None,
        window: int = 64,
        capture: bool = False,
    ) -> None:
        if not 0 < spi <= MAX_SEQUENCE:
            raise LocalProtocolError(f"SPI {spi:#x} is out of range")
        if len(encryption_key) != suite.encryption_key_length:
            raise LocalProtocolError(
                f"{suite.name} takes {suite.encryption_key_length} bytes of encryption key, "
                f"not {len(encryption_key)}"
            )
        if len(integrity_key) != suite.integrity_key_length:
            raise LocalProtocolError(
                f"{suite.name} takes {suite.integrity_key_length} bytes of integrity key, "
                f"not {len(integrity_key)}"
            )
        self.spi = spi
        self.suite = suite
        self.encryption_key = encryption_key
        self.integrity_key = integrity_key
        self.window = ReplayWindow(window)
        self.sent = 0
        """The last sequence number sent."""
        self._random_bytes = random_bytes
        self._first_is_start = capture

    def __repr__(self) -> str:
        # Without the keys: an SA may end up in a log or traceback.
        return f"EspSa(spi={self.spi:#010x}, suite={self.suite.name})"

    def switch_integrity(self, integrity: Integrity) -> None:
        """Use another algorithm with the same key length from now on (see ``truncation``).

        :raises LocalProtocolError: the key does not fit.
        """
        suite = self.suite.with_integrity(integrity)
        if suite.integrity_key_length != len(self.integrity_key):
            raise LocalProtocolError(f"the integrity key does not fit {integrity.value}")
        self.suite = suite

    def seal(self, payload: bytes, next_header: int = NEXT_HEADER_UDP) -> bytes:
        """The next packet of this SA.

        :raises LocalProtocolError: sequence numbers are used up, or no ``random_bytes`` were given.
        """
        if self.sent >= MAX_SEQUENCE:
            raise LocalProtocolError("ESP sequence numbers are used up: the SA must be renewed")
        if not 0 <= next_header <= 255:
            raise LocalProtocolError(f"next header {next_header} is out of range")
        suite = self.suite
        sequence = self.sent + 1
        iv = self._next_iv(sequence)
        self.sent = sequence
        pad = -(len(payload) + 2) % suite.block_size
        plain = payload + bytes(range(1, pad + 1)) + bytes((pad, next_header))
        header = u32(self.spi) + u32(sequence)
        if suite.is_aead:
            return header + iv + crypto.seal_gcm(suite, self.encryption_key, iv, plain, header)
        body = header + iv + crypto.encrypt_cbc(suite, self.encryption_key, iv, plain)
        return body + crypto.icv(suite.integrity, self.integrity_key, body)

    def open(self, packet: bytes) -> Opened:
        """Verify, decrypt and classify a packet.

        The replay window moves only for a packet that verified.

        :raises DecodeError: too short, another SPI, or not whole cipher blocks.
        :raises IntegrityError: the ICV does not verify, or what was decrypted cannot be right.
        """
        header = read_header(packet)
        if header.spi != self.spi:
            raise DecodeError(f"SPI {header.spi:#010x} is not of this SA")
        plain = self._decrypt(packet)
        if len(plain) < 2:
            raise DecodeError("ESP packet without trailer", len(packet))
        pad, next_header = plain[-2], plain[-1]
        end = len(plain) - 2 - pad
        if end < 0:
            raise IntegrityError(f"ESP pad length {pad} is longer than the packet")
        padding_ok = plain[end:-2] == bytes(range(1, pad + 1))
        if not padding_ok and self.suite.icv_length == 0:
            # Nothing else tells a wrong key without integrity protection.
            raise IntegrityError("ESP padding is not 1, 2, 3, ...")
        check = self.window.accept(header.sequence, first_is_start=self._first_is_start)
        return Opened(plain[:end], next_header, header.sequence, check, padding_ok)

    def _next_iv(self, sequence: int) -> bytes:
        suite = self.suite
        if suite.is_aead:
            return sequence.to_bytes(8, "big")
        if not suite.iv_length:
            return b""
        if self._random_bytes is None:
            raise LocalProtocolError("an SA that seals needs random_bytes for its IVs")
        iv = self._random_bytes(suite.iv_length)
        if len(iv) != suite.iv_length:
            raise LocalProtocolError("random_bytes gave another length than asked for")
        return iv

    def _decrypt(self, packet: bytes) -> bytes:
        suite = self.suite
        reader = Reader(packet)
        header = reader.take(8, "ESP header")
        iv = reader.take(suite.iv_length, "ESP IV")
        data = reader.take(len(reader) - suite.icv_length, "ESP data before the ICV")
        tag = reader.rest()
        if suite.is_aead:
            return crypto.open_gcm(suite, self.encryption_key, iv, data, tag, header)
        # The ICV first: a wrong ICV length also breaks the block alignment, and the ICV is
        # the more telling reason.
        body = packet[: len(packet) - len(tag)]
        if not crypto.icv_matches(suite.integrity, self.integrity_key, body, tag):
            raise IntegrityError("ESP ICV does not verify")
        if not data or (suite.iv_length and len(data) % suite.block_size):
            raise DecodeError(f"{len(data)} bytes are not whole {suite.cipher.value} blocks", 8)
        return crypto.decrypt_cbc(suite, self.encryption_key, iv, data)


@record(frozen=True, slots=True)
class EspPair:
    """The two SAs of one quick mode: ``inbound`` has the SPI that we chose."""

    inbound: EspSa
    outbound: EspSa
