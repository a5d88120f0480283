"""ICMP errors as a socket reports them: Linux's extended error records (ip(7), IP_RECVERR), and
errno on other systems."""

from __future__ import annotations

import errno
import socket
import struct

from vpndiag.records import record


def icmp_of_errno(number: int, *, ipv6: bool) -> tuple[int, int] | None:
    """ICMP type and code behind an error of a socket that has no error queue.

    Only errors that a *receive* can hardly have for local reasons; None for any other.
    """
    name = errno_name(number)
    v4, v6 = {
        "ECONNREFUSED": ((3, 3), (1, 4)),
        "ECONNRESET": ((3, 3), (1, 4)),  # Windows' name for it (WSAECONNRESET)
        "ENETRESET": ((11, 0), (3, 0)),  # Windows: time to live exceeded
        "EHOSTUNREACH": ((3, 1), (1, 3)),
        "ENETUNREACH": ((3, 0), (1, 0)),
        "ENOPROTOOPT": ((3, 2), (4, 1)),
    }.get(name, (None, None))
    return v6 if ipv6 else v4


def errno_name(number: int | None) -> str:
    """``ENETUNREACH`` and the like; Windows' WSA prefix is taken off."""
    if number is None:
        return "EUNKNOWN"
    # Winsock numbers are not in errno.errorcode under their POSIX names on every version.
    name = _WINSOCK.get(number) or errno.errorcode.get(number, f"E{number}")
    return name.removeprefix("WSA")


_WINSOCK = {
    10004: "EINTR",
    10013: "EACCES",
    10035: "EWOULDBLOCK",
    10040: "EMSGSIZE",
    10048: "EADDRINUSE",
    10049: "EADDRNOTAVAIL",
    10050: "ENETDOWN",
    10051: "ENETUNREACH",
    10052: "ENETRESET",
    10054: "ECONNRESET",
    10055: "ENOBUFS",
    10061: "ECONNREFUSED",
    10065: "EHOSTUNREACH",
}


# Linux <linux/errqueue.h>: struct sock_extended_err, then the offender's sockaddr.
_EXTENDED = struct.Struct("=IBBBBII")
_ORIGIN_LOCAL, _ORIGIN_ICMP, _ORIGIN_ICMP6 = 1, 2, 3


@record(frozen=True, slots=True)
class ExtendedError:
    """One record of Linux's error queue. ``local``: raised on this machine, not by ICMP."""

    number: int
    local: bool
    ipv6: bool
    icmp_type: int
    code: int
    info: int
    """The path MTU when ``number`` is EMSGSIZE."""
    reporter: str | None


def parse_extended_error(data: bytes) -> ExtendedError | None:
    """The control message of IP_RECVERR or IPV6_RECVERR; None when it is neither ICMP nor local."""
    if len(data) < _EXTENDED.size:
        return None
    number, origin, icmp_type, code, _pad, info, _data = _EXTENDED.unpack_from(data)
    if origin not in (_ORIGIN_LOCAL, _ORIGIN_ICMP, _ORIGIN_ICMP6):
        return None
    return ExtendedError(
        number=number,
        local=origin == _ORIGIN_LOCAL,
        ipv6=origin == _ORIGIN_ICMP6,
        icmp_type=icmp_type,
        code=code,
        info=info,
        reporter=_offender(data[_EXTENDED.size :]),
    )


def _offender(data: bytes) -> str | None:
    if len(data) < 2:
        return None
    (family,) = struct.unpack_from("=H", data)
    if family == socket.AF_INET and len(data) >= 8:
        return socket.inet_ntop(socket.AF_INET, data[4:8])
    if family == socket.AF_INET6 and len(data) >= 24:
        return socket.inet_ntop(socket.AF_INET6, data[8:24])
    return None
