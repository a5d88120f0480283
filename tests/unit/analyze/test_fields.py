"""Our decoding against Wireshark's, deeper than :mod:`test_differential`: transforms, identities,
SPIs and hashes of IKE, also of what is decrypted; AVPs of L2TP; options, names and methods of PPP,
also inside ESP; ICMP errors and the packets they quote.

On the project's own recordings, with their keys, and on the captures that are given, with keys
where there are some.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.captures import captures
from tests.unit.analyze.test_differential import CRAFTED, SHARED
from vpndiag.capture.analyze import read
from vpndiag.capture.decrypt import IkeDecryptor
from vpndiag.capture.keys import KeyFileError, Keys, read_keys
from vpndiag.capture.packets import IcmpError
from vpndiag.capture.sketch import sketch
from vpndiag.capture.wireshark import _write_profile
from vpndiag.protocols.errors import ProtocolError
from vpndiag.protocols.ike.message import decode as decode_ike
from vpndiag.protocols.ike.payloads import (
    DeletePayload,
    IdPayload,
    NatDPayload,
    NatOaPayload,
    NotificationPayload,
    Payload,
    SaPayload,
)
from vpndiag.protocols.l2tp.message import ControlMessage, DataMessage
from vpndiag.protocols.l2tp.message import decode as decode_l2tp
from vpndiag.protocols.ppp import chap, eap, pap, protocols
from vpndiag.protocols.ppp.frame import decode_frame
from vpndiag.protocols.ppp.packet import Configure, decode_packet

OWN = Path(__file__).parents[3] / "captures"
TSHARK = shutil.which("tshark")

pytestmark = pytest.mark.skipif(TSHARK is None, reason="tshark is not installed")

JUSTIFIED = {
    "jnetpcap-test-l2tp.pcap": "users' packets in L2TP: counted, not decoded",
    "packetlife-PPTP_negotiation.cap": "PPP in PPTP's GRE: counted, not decoded",
    "packetlife-icmp_in_l2tpv3.cap": "L2TPv3 is recognised, not decoded",
    "packetlife-arp_l2tpv3.cap": "L2TPv3 is recognised, not decoded",
}
"""Files that are left out, and why. In all others: IKEv2 beyond its header and notifications is not
decoded; a Protocol-Reject or an ICMP error quotes another packet, whose fields Wireshark adds; an
encrypted IKE message that is sent again is opened here, and by Wireshark mostly not."""

Row = dict[str, object]

_IKE = {
    "ciphers": "isakmp.ike.attr.encryption_algorithm",
    "hash algorithms": "isakmp.ike.attr.hash_algorithm",
    "groups": "isakmp.ike.attr.group_description",
    "methods": "isakmp.ike.attr.authentication_method",
    "key lengths": "isakmp.ike.attr.key_length",
    "modes": "isakmp.ipsec.attr.encap_mode",
    "integrity": "isakmp.ipsec.attr.auth_algorithm",
    "pfs": "isakmp.ipsec.attr.group_description",
    "protocols": "isakmp.prop.protoid",
    "identity types": "isakmp.id.type",
    "identity ports": "isakmp.id.port",
    "notifications": "isakmp.notify.msgtype",
}
_HEX = {"nat-d": "isakmp.ike.nat_hash", "deleted": "isakmp.delete.spi"}
_L2TP = {
    "avps": "l2tp.avp.type",
    "window": "l2tp.avp.receive_window_size",
    "firmware": "l2tp.avp.firmware_revision",
    "error": "l2tp.avp.error_code",
}
_PPP = {
    "lcp options": "lcp.opt.type",
    "mru": "lcp.opt.mru",
    "auth": "lcp.opt.auth_protocol",
    "magic": "lcp.opt.magic_number",
    "ipcp options": "ipcp.opt.type",
    "ccp options": "ccp.opt.type",
    "mppe": "ccp.opt.supported_bits",
    "eap type": "eap.type",
}
_TEXT = {
    "address": "ipcp.opt.ip_address",
    "dns": "ipcp.opt.pri_dns_address",
    "chap name": "chap.name",
    "pap name": "pap.peer_id",
}
_ICMP = {"icmp": "icmp.type", "icmp code": "icmp.code", "icmp6": "icmpv6.type",
         "icmp6 code": "icmpv6.code", "icmp mtu": "icmp.mtu"}  # fmt: skip
_NUMBERS = {**_IKE, **_L2TP, **_PPP, **_ICMP}
_OTHERS = {"protocol": "ppp.protocol", "code": "ppp.code", "ike": "isakmp.version",
           "flags": "isakmp.flags", "gre": "gre.proto"}  # fmt: skip
_ALL = {**_NUMBERS, **_HEX, **_TEXT, **_OTHERS}


def wireshark(path: Path, keys: Keys | None, profile: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Frame numbers and field values, all occurrences of a field joined by commas."""
    assert TSHARK is not None
    _write_profile(profile, keys or Keys())
    command = [TSHARK, "-n", "-r", str(path), "-T", "fields", "-E", "separator=\t",
               "-Y", "isakmp or l2tp or ppp or icmp or icmpv6", "-e", "frame.number"]  # fmt: skip
    for name in _ALL.values():
        command += ["-e", name]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False,
        env=dict(os.environ, WIRESHARK_CONFIG_DIR=str(profile)),
    )  # fmt: skip
    for line in done.stdout.splitlines():
        number, *values = line.split("\t")
        yield int(number), dict(zip(_ALL, values, strict=True))


def theirs(values: dict[str, str]) -> Row:
    """Wireshark's values in our terms; only what is there."""
    row: Row = {}
    for name in _NUMBERS:
        numbers = [int(v, 0) for v in values[name].split(",") if v]
        if numbers:
            row[name] = numbers
    for name in _HEX:
        found = [v.replace(":", "") for v in values[name].split(",") if v]
        if found:
            row[name] = found
    for name in _TEXT:
        found = [v for v in values[name].split(",") if v]
        if found:
            row[name] = found
    return row


def _ike(payloads: tuple[Payload, ...]) -> Row:
    row: dict[str, list[object]] = {}

    def add(name: str, value: object) -> None:
        row.setdefault(name, []).append(value)

    names = {
        1: {1: "ciphers", 2: "hash algorithms", 3: "methods", 4: "groups", 14: "key lengths"},
        3: {3: "pfs", 4: "modes", 5: "integrity"},
    }
    for p in payloads:
        if isinstance(p, SaPayload):
            for proposal in p.proposals:
                add("protocols", proposal.protocol)
                for transform in proposal.transforms:
                    for attribute in transform.attributes:
                        name = names.get(proposal.protocol, {}).get(attribute.type)
                        if name is not None:
                            add(name, attribute.int_value)
        elif isinstance(p, IdPayload):
            add("identity types", p.id_type)
            add("identity ports", p.port)
        elif isinstance(p, NatOaPayload):
            add("identity types", p.id_type)  # Wireshark gives both the same name
        elif isinstance(p, NotificationPayload):
            add("notifications", p.notify_type)
        elif isinstance(p, NatDPayload):
            add("nat-d", p.hash.hex())
        elif isinstance(p, DeletePayload):
            for spi in p.spis:
                add("deleted", spi.hex())
    return dict(row)


def _l2tp(data: bytes) -> Row:
    message = decode_l2tp(data)
    if isinstance(message, DataMessage):
        frame = decode_frame(message.payload)
        return _ppp(frame.protocol, frame.payload)
    if not isinstance(message, ControlMessage):
        return {}
    avps = [a.type for a in message.avps if a.vendor == 0]
    row: Row = {"avps": avps} if avps else {}
    for name, kind in (("window", 10), ("firmware", 6)):
        value = message.number(kind)
        if value is not None:
            row[name] = [value]
    if message.result is not None and message.result.error is not None:
        row["error"] = [message.result.error]
    return row


def _ppp(protocol: int, payload: bytes) -> Row:
    if protocol == protocols.CHAP:
        packet = chap.decode_chap(payload)
        name = getattr(packet, "name", b"").decode("utf-8", "replace")
        return {"chap name": [name]} if name else {}
    if protocol == protocols.PAP:
        request = pap.decode_pap(payload)
        name = getattr(request, "peer_id", b"").decode("utf-8", "replace")
        return {"pap name": [name]} if name else {}
    if protocol == protocols.EAP:
        kind = eap.decode_eap(payload).type
        return {"eap type": [kind]} if kind is not None else {}
    if protocol not in (protocols.LCP, protocols.IPCP, protocols.CCP):
        return {}
    control = decode_packet(protocol, payload)
    if not isinstance(control, Configure):
        return {}
    kinds = {protocols.LCP: "lcp", protocols.IPCP: "ipcp", protocols.CCP: "ccp"}
    row: Row = {f"{kinds[protocol]} options": [o.type for o in control.options]}
    for option in control.options:
        number = int.from_bytes(option.data, "big")
        dotted = ".".join(str(b) for b in option.data)
        match protocol, option.type:
            case protocols.LCP, 1:
                row["mru"] = [number]
            case protocols.LCP, 3:
                row["auth"] = [int.from_bytes(option.data[:2], "big")]
            case protocols.LCP, 5:
                row["magic"] = [number]
            case protocols.IPCP, 3:
                row["address"] = [dotted]
            case protocols.IPCP, 129:
                row["dns"] = [dotted]
            case protocols.CCP, 18:
                row["mppe"] = [number]
    return {name: value for name, value in row.items() if value}


def _icmp(error: IcmpError) -> Row:
    six = "6" if error.version == 6 else ""
    row: Row = {f"icmp{six}": [error.type], f"icmp{six} code": [error.code]}
    if (error.version, error.type, error.code) == (4, 3, 4):
        row["icmp mtu"] = [error.mtu]
    return row


def ours(path: Path, keys: Keys | None) -> dict[int, Row]:
    """Rows by frame: what is in the clear, and what the keys open."""
    material = read([path], keys).material
    rows: dict[int, Row] = {}
    for track in material.ike:
        s = sketch(track)
        decryptor = IkeDecryptor((keys or Keys()).ike.get(track.cookie, []))
        for m, mine in zip(track.messages, s.sent, strict=True):
            if m.missing:
                continue
            try:
                wire = decode_ike(m.data)
            except ProtocolError:
                continue
            payloads, _ = decryptor.open(wire, mine)
            if wire.is_ikev2:
                continue
            rows[m.frames[-1]] = _ike(wire.payloads if payloads is None else payloads)
    for tunnel in material.l2tp:
        for m in tunnel.messages:
            if not m.missing:
                rows[m.frames[-1]] = _quietly(_l2tp, m.data)
    for link in material.ppp:
        for packet in link.packets:
            rows[packet.frame] = _quietly(_ppp, packet.protocol, packet.payload)
    for error in material.icmp:
        rows[error.frame] = _icmp(error)
    return rows


def _quietly(decode, *data: object) -> Row:  # type: ignore[no-untyped-def]
    try:
        return decode(*data)  # type: ignore[no-any-return]
    except ProtocolError:
        return {}


def compared(path: Path, keys: Keys | None, profile: Path) -> tuple[list[str], int]:
    """Differences as text, and how many values were compared."""
    mine, found, count = ours(path, keys), [], 0
    for number, values in wireshark(path, keys, profile):
        row = mine.get(number)
        if row is None or values["gre"] or values["ike"].startswith("0x20"):
            continue
        expected = theirs(values)
        if "icmp" in row or "icmp6" in row:
            expected = {n: v for n, v in expected.items() if n in _ICMP}
            expected = {n: v[:1] if isinstance(v, list) else v for n, v in expected.items()}
        elif values["code"].startswith("8") or "," in values["protocol"]:
            continue  # Protocol-Reject
        else:
            expected = {n: v for n, v in expected.items() if n not in _ICMP}
        if not expected and values["flags"] and int(values["flags"], 0) & 1:
            continue  # encrypted, and not opened there
        for name in sorted(expected.keys() | row.keys()):
            count += 1
            if expected.get(name) != row.get(name):
                found.append(f"#{number} {name}: {row.get(name)!r}, not {expected.get(name)!r}")
    return found, count


def files() -> list[tuple[Path, Path | None]]:
    """Captures, and where their keys lie."""
    found: list[tuple[Path, Path | None]] = [
        (p, p.with_suffix(".keys")) for p in sorted(OWN.glob("*.pcapng"))
    ]
    if SHARED.is_dir():
        for path in captures(SHARED):
            if not path.name.startswith(CRAFTED) and path.name not in JUSTIFIED:
                found.append((path, path.parent))
    return found


def _keys(place: Path | None) -> Keys | None:
    try:
        return read_keys(place) if place is not None else None
    except KeyFileError:
        return None


@pytest.mark.parametrize(
    ("path", "place"), files(), ids=lambda p: f"{p.parent.name}/{p.name}" if p else "none"
)
def test_fields_are_as_wireshark_says(path: Path, place: Path | None, tmp_path: Path) -> None:
    differences, _ = compared(path, _keys(place), tmp_path)
    assert differences == []


def test_the_inside_is_among_what_is_compared(tmp_path: Path) -> None:
    path = OWN / "healthy-strongswan.pcapng"
    keys = _keys(path.with_suffix(".keys"))
    _, with_keys = compared(path, keys, tmp_path)
    _, without = compared(path, None, tmp_path)
    rows = ours(path, keys)
    names = {name for row in rows.values() for name in row}
    assert {"modes", "identity ports", "avps", "lcp options", "address", "nat-d"} <= names
    assert with_keys > without + 50
