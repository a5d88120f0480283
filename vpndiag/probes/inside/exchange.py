"""First exchanges of applications: what is sent, and what the answer must look like.

Sources: RFC 9110 (HTTP), MS-SMB2 2.2.3, MS-RDPBCGR 2.2.1.1, RFC 8446 (TLS, by the ssl module in
memory). Nothing here waits, logs in or changes anything on the server.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Literal, Protocol

from vpndiag.records import record

RandomBytes = Callable[[int], bytes]
State = Literal["more", "answered", "unexpected"]

NAMES = {"http": 80, "https": 443, "smb": 445, "rdp": 3389}
"""Applications that can be named instead of their port."""
_BY_PORT = {port: name for name, port in NAMES.items()}


@record(frozen=True, slots=True)
class App:
    """One application to test. ``protocol`` is empty where only the connection is tried."""

    text: str
    host: str
    port: int
    protocol: str = ""


def parse_app(text: str) -> App:
    """``HOST:PORT``, ``HOST:smb`` or ``smb://HOST[:PORT]``; ``https`` by its port, and so on.

    :raises ValueError: it is none of these; the message is for people.
    """
    scheme, found, rest = text.strip().partition("://")
    if not found:
        scheme, rest = "", scheme
    rest = rest.rstrip("/")
    host, colon, port = rest.rpartition(":")
    if not colon:
        host, port = rest, scheme
    if not port and scheme:
        port = scheme
    number = NAMES.get(port.lower()) or (int(port) if port.isascii() and port.isdecimal() else 0)
    if scheme and scheme.lower() not in NAMES:
        raise ValueError(f"{text}: {scheme} is not known; use {', '.join(NAMES)}")
    if not host or not 0 < number < 65536 or any(c.isspace() for c in host) or ":" in host:
        raise ValueError(f"{text}: write it as host:port, host:smb or https://host")
    protocol = scheme.lower() or (port.lower() if port.lower() in NAMES else "")
    return App(text.strip(), host, number, protocol or _BY_PORT.get(number, ""))


class Exchange(Protocol):
    """``feed`` takes the whole answer so far and says whether it suffices; ``outgoing`` is what to
    send next, or nothing."""

    detail: str

    def outgoing(self) -> bytes: ...

    def feed(self, answer: bytes) -> State: ...


class _Simple:
    """One request; the answer is known by its first bytes."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.detail = ""

    def outgoing(self) -> bytes:
        request, self._request = self._request, b""
        return request

    def feed(self, answer: bytes) -> State:
        raise NotImplementedError


class Http(_Simple):
    def __init__(self, host: str) -> None:
        super().__init__(
            b"HEAD / HTTP/1.1\r\nHost: " + host.encode("idna" if not host.isascii() else "ascii")
            + b"\r\nUser-Agent: vpndiag\r\nConnection: close\r\n\r\n"
        )  # fmt: skip

    def feed(self, answer: bytes) -> State:
        if not b"HTTP/".startswith(answer[:5]):
            return "unexpected"
        line, end, _ = answer.partition(b"\n")
        if not end:
            return "more"
        self.detail = line.strip().decode("latin-1")
        return "answered"


class Smb(_Simple):
    """SMB2 NEGOTIATE (MS-SMB2 2.2.3) for dialects 2.0.2 to 3.1.1. The last one needs negotiate
    contexts (2.2.3.1), without which a server that knows nothing older refuses."""

    DIALECTS = (0x0202, 0x0210, 0x0300, 0x0302, 0x0311)
    _HEADER, _BODY = 64, 36

    def __init__(self, random: RandomBytes) -> None:
        # structure size; everything else of a first message is zero
        header = b"\xfeSMB" + _le(self._HEADER) + bytes(58)
        dialects = b"".join(map(_le, self.DIALECTS))
        size = self._HEADER + self._BODY + len(dialects)
        padding = bytes(-size % 8)
        preauth = _le(1) + _le(32) + _le(1) + random(32)  # SHA-512 and a salt
        ciphers = _le(4) + b"".join(map(_le, (2, 1, 4, 3)))  # AES-GCM and CCM, 128 and 256
        contexts = [self._context(1, preauth), self._context(2, ciphers)]
        body = (
            _le(self._BODY) + _le(len(self.DIALECTS))
            + _le(1) + bytes(2)  # signing enabled
            + bytes(4) + random(16)  # client GUID
            + (size + len(padding)).to_bytes(4, "little") + _le(len(contexts)) + bytes(2)
        )  # fmt: skip
        message = header + body + dialects + padding + contexts[0]
        message += bytes(-len(message) % 8) + contexts[1]
        super().__init__(len(message).to_bytes(4, "big") + message)

    @staticmethod
    def _context(kind: int, data: bytes) -> bytes:
        return _le(kind) + _le(len(data)) + bytes(4) + data

    def feed(self, answer: bytes) -> State:
        if len(answer) < 8:
            return "more" if b"\0".startswith(answer[:1]) else "unexpected"
        if answer[0] != 0 or answer[4:8] not in (b"\xfeSMB", b"\xffSMB"):
            return "unexpected"
        if len(answer) < 4 + int.from_bytes(answer[1:4], "big"):
            return "more"
        if answer[4:5] == b"\xfe" and len(answer) >= 4 + self._HEADER + 6:
            self.detail = self._told(answer[4:])
        return "answered"

    def _told(self, message: bytes) -> str:
        """The answer in words (2.2.4, 2.2.1.2)."""
        status = int.from_bytes(message[8:12], "little")
        if status:
            known = {0xC00000BB: " (not supported)", 0xC000000D: " (invalid parameter)"}
            return f"SMB status 0x{status:08x}{known.get(status, '')}"
        body = message[self._HEADER :]
        dialect = int.from_bytes(body[4:6], "little")
        signed = ", signing required" if body[2] & 2 else ""
        return f"SMB dialect {dialect >> 8}.{dialect >> 4 & 15}.{dialect & 15}{signed}"


_RDP_PROTOCOLS = {0: "RDP security", 1: "TLS", 2: "CredSSP", 4: "RDSTLS", 8: "CredSSP (early)"}
_RDP_FAILURES = {
    1: "TLS required",
    2: "TLS not allowed",
    3: "no TLS certificate",
    4: "inconsistent flags",
    5: "CredSSP required",
    6: "TLS with a client certificate required",
}


class Rdp(_Simple):
    """X.224 Connection Request that offers TLS and CredSSP (MS-RDPBCGR 2.2.1.1)."""

    def __init__(self) -> None:
        super().__init__(bytes.fromhex("030000130ee000000000000100080003000000"))

    def feed(self, answer: bytes) -> State:
        if not b"\x03\0".startswith(answer[:2]):
            return "unexpected"
        if len(answer) < 11:
            return "more"
        if answer[5] != 0xD0:
            return "unexpected"
        if len(answer) < int.from_bytes(answer[2:4], "big"):
            return "more"
        self.detail = "RDP security"  # the old one, if there is no negotiation response
        if len(answer) >= 19:
            number = int.from_bytes(answer[15:19], "little")
            if answer[11] == 2:
                self.detail = _RDP_PROTOCOLS.get(number, f"protocol {number}")
            elif answer[11] == 3:
                self.detail = f"refused: {_RDP_FAILURES.get(number, f'code {number}')}"
        return "answered"


class Tls:
    """A handshake, in memory. The certificate is read and not judged by trust: internal servers
    have internal authorities. Randomness is OpenSSL's own."""

    def __init__(self, host: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        # Old servers are to be seen as well; nothing secret is sent.
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        with contextlib.suppress(ssl.SSLError, ValueError):
            context.set_ciphers("ALL:@SECLEVEL=0")
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = None if _is_address(host) else host
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=name)
        self._fed = 0
        self.certificate: bytes | None = None
        self.detail = ""
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()

    def outgoing(self) -> bytes:
        return self._out.read()

    def feed(self, answer: bytes) -> State:
        if not answer:
            return "more"
        self._in.write(answer[self._fed :])
        self._fed = len(answer)
        if answer[0] not in (0x15, 0x16):
            self.detail = "the answer is not TLS"
            return "unexpected"
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return "more"
        except ssl.SSLError as error:
            # An alert is an answer: data crossed. Only its text is told.
            self.detail = f"TLS: {(error.reason or 'failed').replace('_', ' ').lower()}"
            return "answered" if answer[0] == 0x15 else "unexpected"
        self.detail = self._tls.version() or "TLS"
        self.certificate = self._tls.getpeercert(True)
        return "answered"


def exchange_for(app: App, random: RandomBytes) -> Exchange | None:
    """None: nothing is asked beyond the connection."""
    match app.protocol:
        case "http":
            return Http(app.host)
        case "https":
            return Tls(app.host)
        case "smb":
            return Smb(random)
        case "rdp":
            return Rdp()
    return None


@record(frozen=True, slots=True)
class CertificateFacts:
    names: tuple[str, ...]
    not_after: str
    expired: bool
    matches: bool | None


def certificate_facts(der: bytes, host: str, verify_time: float) -> CertificateFacts | None:
    """Names and expiry of a certificate; None: it does not decode. ``verify_time`` is Unix time."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    from vpndiag.report.text import visible

    try:
        certificate = x509.load_der_x509_certificate(der)
        names = [str(a.value) for a in certificate.subject.get_attributes_for_oid(
            NameOID.COMMON_NAME)]  # fmt: skip
        with contextlib.suppress(x509.ExtensionNotFound):
            found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            names = found.value.get_values_for_type(x509.DNSName) + [
                str(a) for a in found.value.get_values_for_type(x509.IPAddress)
            ]
        end = certificate.not_valid_after_utc
    except ValueError:
        return None
    now = datetime.fromtimestamp(verify_time, UTC)
    return CertificateFacts(
        tuple(visible(n, 100) for n in names[:16]),
        end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        now > end,
        any(_covers(n.lower(), host.lower()) for n in names) if names else None,
    )


def _covers(name: str, host: str) -> bool:
    host = host.rstrip(".")
    if name.startswith("*."):
        return host.partition(".")[2] == name[2:]
    return name == host


def _le(number: int) -> bytes:
    """Two bytes, the lower first."""
    return number.to_bytes(2, "little")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
