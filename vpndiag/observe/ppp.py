"""PPP control packets as observations."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from vpndiag.observations import Direction, PppMessage
from vpndiag.protocols.errors import ProtocolError
from vpndiag.protocols.ppp import chap, eap, lcp_options, mschapv2, pap, protocols
from vpndiag.protocols.ppp.frame import read_protocol
from vpndiag.protocols.ppp.options import Option
from vpndiag.protocols.ppp.packet import (
    Code,
    Configure,
    MagicPacket,
    ProtocolReject,
    Terminate,
    code_name,
    decode_packet,
    option_text,
)
from vpndiag.report.text import visible

_CONTROL = {
    protocols.LCP: "LCP",
    protocols.IPCP: "IPCP",
    protocols.IPV6CP: "IPV6CP",
    protocols.CCP: "CCP",
}
_STANDARD_NAMES = {
    "Auth": "Authentication-Protocol",
    "Magic": "Magic-Number",
}
_DATA = {protocols.IP, protocols.IPV6, protocols.COMPRESSED, 0x002D, 0x002F}
_CHAP_CODES = {1: "Challenge", 2: "Response", 3: "Success", 4: "Failure"}
_EAP_CODES = {1: "Request", 2: "Response", 3: "Success", 4: "Failure"}
_PAP_CODES = {1: "Authenticate-Request", 2: "Authenticate-Ack", 3: "Authenticate-Nak"}
_EAP_MSCHAPV2_SUCCESS, _EAP_MSCHAPV2_FAILURE = 3, 4
_GENERIC_ERROR = 0x0203
_WINDOWS = b"\x00\x3c\xcd\x74"
"""Stands between magic number and error number in Terminate-Requests of Windows."""
# As plain numbers: members of an enumeration are slow to compare.
_ECHO = frozenset(map(int, (Code.ECHO_REQUEST, Code.ECHO_REPLY, Code.DISCARD_REQUEST)))
_ACK = int(Code.CONFIGURE_ACK)
MAX_OPTIONS = 32
MAX_TYPES = 16
MAX_USUAL = 256
"""Bytes of a packet that is remembered."""


class PppObserver:
    """Observes the control packets of one PPP session, in order."""

    def __init__(self, session: str = "") -> None:
        self._session = session
        self._algorithm = ""
        self._last: dict[tuple[Direction, int], bytes] = {}

    def observe(
        self, frame: bytes, *, t: float, direction: Direction, frames: tuple[int, ...] = ()
    ) -> PppMessage | None:
        """One PPP frame as L2TP carries it. None for network data, echoes and what is not PPP.

        Never raises on any ``frame``. The password of a PAP request is not kept.
        """
        try:
            protocol, start = read_protocol(frame)
        except ProtocolError:
            return None
        if protocol in _DATA:
            return None
        data = frame[start:]
        key = (direction, protocol)
        repeat = self._last.get(key) == data
        self._last[key] = data
        try:
            found = self._read(protocol, data)
        except ProtocolError as error:
            name = _CONTROL.get(protocol) or protocols.protocol_name(protocol)
            found = {"protocol": name, "code": "malformed", "identifier": 0, "message": str(error)}
        if found is None:
            return None
        return PppMessage(
            t=t,
            frames=frames,
            direction=direction,
            repeat=repeat,
            session=self._session,
            **found,  # type: ignore[arg-type]
        )

    def _read(self, protocol: int, data: bytes) -> Mapping[str, object] | None:
        if protocol in _CONTROL:
            read = _usual if len(data) <= MAX_USUAL else _control
            found, algorithm = read(protocol, data)
            self._algorithm = algorithm or self._algorithm
            return found
        if protocol == protocols.PAP:
            return _pap(data)
        if protocol == protocols.CHAP:
            return self._chap(data)
        if protocol == protocols.EAP:
            return _eap(data)
        if protocol == protocols.PPPOE and self._session.startswith("PPPoE"):
            return {"protocol": "PPPoE", "code": "PADT", "identifier": 0, "message": _tags(data)}
        return {
            "protocol": protocols.protocol_name(protocol),
            "code": code_name(data[0]) if data else "empty",
            "identifier": data[1] if len(data) > 1 else 0,
        }

    def _chap(self, data: bytes) -> Mapping[str, object]:
        packet = chap.decode_chap(data)
        found: dict[str, object] = {
            "protocol": "CHAP",
            "code": _CHAP_CODES.get(packet.code, f"code {packet.code}"),
            "identifier": packet.identifier,
            "method": self._algorithm,
        }
        if isinstance(packet, chap.ChapValue):
            found["name"] = visible(packet.name)
            if packet.code == 2 and not self._algorithm:
                # Lengths of RFC 1994 (MD5) and RFC 2759 section 4 responses.
                found["method"] = {16: "MD5", 49: "MS-CHAPv2"}.get(len(packet.value), "")
        else:
            found |= _result(packet.message, packet.code == 4)
        return found


def _control(protocol: int, data: bytes) -> tuple[Mapping[str, object] | None, str]:
    """What a control packet says (None: echoes), and the CHAP algorithm that it agrees to.

    :raises DecodeError: as :func:`decode_packet`.
    """
    packet = decode_packet(protocol, data)
    if packet.code in _ECHO:
        return None, ""
    found: dict[str, object] = {
        "protocol": _CONTROL[protocol],
        "code": code_name(packet.code),
        "identifier": packet.identifier,
    }
    algorithm = ""
    match packet:
        case Configure():
            found["options"] = tuple(
                [_option(protocol, o.type, o.data) for o in packet.options[:MAX_OPTIONS]]
            )
            if protocol == protocols.LCP:
                algorithm = _note_lcp(packet, found)
        case Terminate():
            found["message"] = _farewell(packet.message)
        case ProtocolReject():
            rejected = packet.protocol
            found["method"] = _CONTROL.get(rejected) or protocols.protocol_name(rejected)
        case MagicPacket():
            found["message"] = visible(packet.data)
    return found, algorithm


_usual = lru_cache(maxsize=1024)(_control)
"""Many packets are the same in every session."""


def _farewell(message: bytes) -> str:
    """The reason in a Terminate packet; Windows has a number in it, as its dialogs show it."""
    _, cookie, number = message.rpartition(_WINDOWS)
    if cookie and len(number) == 4:
        return f"Windows error {int.from_bytes(number)}"
    return _said(message)


def _said(text: bytes) -> str:
    """What a message says, without zeros at its end: of a C string, or of what was not recorded."""
    return visible(text.rstrip(b"\0"))


def _tags(data: bytes) -> str:
    """The reason in a PADT (RFC 2516 appendix A)."""
    at = 0
    while at + 4 <= len(data):
        kind = int.from_bytes(data[at : at + 2])
        end = at + 4 + int.from_bytes(data[at + 2 : at + 4])
        if kind == _GENERIC_ERROR:
            return _said(data[at + 4 : end])
        at = end
    return ""


def _note_lcp(packet: Configure, found: dict[str, object]) -> str:
    """Put the magic number into ``found``; the CHAP algorithm that is agreed to."""
    algorithm = ""
    for option in packet.options:
        if option.type == lcp_options.MAGIC:
            found["magic"] = option.number(4)
        elif packet.code == _ACK and option.type == lcp_options.AUTH:
            demand = lcp_options.read_auth(option)
            if demand is not None and demand.algorithm is not None:
                algorithm = lcp_options.CHAP_ALGORITHMS.get(
                    demand.algorithm, f"0x{demand.algorithm:02x}"
                )
    return algorithm


def _result(message: bytes, failure: bool) -> dict[str, object]:
    found: dict[str, object] = {"message": _said(message)}
    if failure and message.lstrip()[:2] == b"E=":
        parsed = mschapv2.parse_failure(message)
        found |= {"error_code": parsed.code, "retry": parsed.retry}
    return found


@lru_cache(maxsize=1024)
def _option(protocol: int, kind: int, data: bytes) -> tuple[str, str]:
    """Name and value as text; most options are the same in every session."""
    name, _, value = option_text(protocol, Option(kind, data)).partition(" ")
    return _STANDARD_NAMES.get(name, name), value[:80]


def _pap(data: bytes) -> dict[str, object]:
    packet = pap.decode_pap(data)
    found: dict[str, object] = {
        "protocol": "PAP",
        "code": _PAP_CODES.get(packet.code, f"code {packet.code}"),
        "identifier": packet.identifier,
    }
    if isinstance(packet, pap.PapRequest):
        found["name"] = visible(packet.peer_id)
    else:
        found["message"] = _said(packet.message)
    return found


def _eap(data: bytes) -> dict[str, object]:
    packet = eap.decode_eap(data)
    code = _EAP_CODES.get(packet.code, f"code {packet.code}")
    found: dict[str, object] = {
        "protocol": "EAP",
        "code": code,
        "identifier": packet.identifier,
        "method": "" if packet.type is None else eap.type_name(packet.type),
    }
    if packet.type == 1 and packet.code == 2:
        found["name"] = visible(packet.data)
    elif packet.type == eap.NOTIFICATION and packet.code == 1:
        found["message"] = _said(packet.data)
    elif packet.type == eap.NAK:
        found["message"] = "wants " + (
            ", ".join(map(eap.type_name, packet.data[:MAX_TYPES])) or "nothing"
        )
    elif packet.type in eap.TLS_METHODS and (alert := eap.tls_alert(packet.data)) is not None:
        found["message"] = f"TLS alert: {alert}"
    if packet.type == 26 and packet.code == 1:
        inner = eap.decode_mschapv2(packet.data)
        if inner.op == _EAP_MSCHAPV2_FAILURE:
            found |= _result(inner.message, True)
            found["code"] = "Failure"
        elif inner.op == _EAP_MSCHAPV2_SUCCESS:
            found["message"] = _said(inner.message)
    return found
