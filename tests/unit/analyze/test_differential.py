"""Our decoding against Wireshark's, field by field, on every real capture at hand: headers and
kinds of messages. What is in them is compared in ``test_fields``.

For each frame that either side calls IKE, L2TP or a PPP control packet, the fields must be equal.
Known and justified differences are listed in JUSTIFIED; anything else fails.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fuzz.captures import captures
from vpndiag.capture.carried import ppp_kind
from vpndiag.capture.files import open_capture
from vpndiag.capture.packets import Message, PppPacket
from vpndiag.capture.prefilter import Prefilter
from vpndiag.protocols.errors import ProtocolError
from vpndiag.protocols.ike.message import decode as decode_ike
from vpndiag.protocols.ike.payloads import NotificationPayload, VendorIdPayload
from vpndiag.protocols.l2tp.message import ControlMessage, DataMessage
from vpndiag.protocols.l2tp.message import decode as decode_l2tp
from vpndiag.protocols.ppp.frame import decode_frame
from vpndiag.protocols.ppp.protocols import LCP

SHARED = Path(__file__).parents[4] / "shared" / "captures"
TSHARK = shutil.which("tshark")

OWN = Path(__file__).parents[3] / "captures"

pytestmark = pytest.mark.skipif(TSHARK is None, reason="tshark is not installed")

CRAFTED = ("tcpdump-", "suricata-", "libreswan-", "zeekspicy-ipsec-ikev1-payload-bad-length",
           "zeekspicy-ipsec-ikev1-zero-length")  # fmt: skip
"""Fuzzed or crafted files: what a broken packet means is nobody's to say. They are not compared."""

JUSTIFIED: dict[str, str] = {
    "isakmp.typepayload": "Wireshark lists proposals and transforms (2, 3) among the payloads; "
    "they are inside the SA payload and left out here, and so are encrypted bodies.",
    "ICMP": "errors quote a packet, which Wireshark dissects; they are compared in test_fields.",
    "IKE inside L2TP": "users' data, another VPN through this one (jnetpcap-test-l2tp.pcap): "
    "counted, not decoded.",
    "packetlife-PPTP_negotiation.cap": "PPP in PPTP's GRE is not L2TP: counted, not decoded.",
    "packetlife-icmp_in_l2tpv3.cap": "L2TPv3 is recognised, not decoded.",
    "packetlife-arp_l2tpv3.cap": "L2TPv3 is recognised, not decoded.",
}

FIELDS = (
    "frame.number", "isakmp.ispi", "isakmp.rspi", "isakmp.exchangetype", "isakmp.flags",
    "isakmp.messageid", "isakmp.length", "isakmp.typepayload", "isakmp.notify.msgtype",
    "isakmp.vid_bytes", "l2tp.type", "l2tp.version", "l2tp.tunnel", "l2tp.session", "l2tp.Ns",
    "l2tp.Nr", "l2tp.avp.message_type", "l2tp.avp.assigned_tunnel_id",
    "l2tp.avp.assigned_session_id", "l2tp.avp.host_name", "l2tp.result_code", "ppp.protocol",
    "ppp.code", "ppp.identifier", "chap.code", "chap.identifier", "pap.code", "pap.identifier",
    "eap.code", "eap.id", "gre.proto",
)  # fmt: skip

Row = dict[str, object]


def wireshark(path: Path) -> dict[int, dict[str, str]]:
    assert TSHARK is not None
    command = [TSHARK, "-n", "-r", str(path), "-T", "fields", "-E", "separator=|",
               "-Y", "(isakmp or l2tp or ppp) and not (icmp or icmpv6)"]  # fmt: skip
    for name in FIELDS:
        command += ["-e", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    rows = {}
    for line in done.stdout.splitlines():
        values = dict(zip(FIELDS, line.split("|"), strict=False))
        rows[int(values["frame.number"])] = values
    return rows


def _numbers(text: str) -> list[int]:
    return [int(v, 0) for v in text.split(",") if v]


def theirs(values: dict[str, str]) -> Row:
    """Wireshark's row in our terms; empty when it says nothing that we decode."""
    row: Row = {}
    # IKE in an IP packet inside L2TP is users' data: another VPN through this one.
    if values.get("isakmp.ispi") and not values.get("l2tp.version"):
        row["cookies"] = values["isakmp.ispi"], values["isakmp.rspi"]
        row["exchange"] = _numbers(values["isakmp.exchangetype"])[0]
        row["flags"] = _numbers(values["isakmp.flags"])[0]
        row["message id"] = _numbers(values["isakmp.messageid"])[0]
        row["length"] = _numbers(values["isakmp.length"])[0]
        row["payloads"] = [n for n in _numbers(values["isakmp.typepayload"]) if n not in (2, 3)]
        row["notifies"] = _numbers(values["isakmp.notify.msgtype"])
        row["vendor ids"] = [v for v in values["isakmp.vid_bytes"].split(",") if v]
    if values.get("l2tp.version") == "2":
        row["control"] = values["l2tp.type"] in ("1", "True")
        row["ids"] = int(values["l2tp.tunnel"]), int(values["l2tp.session"])
        if row["control"]:
            row["numbers"] = int(values["l2tp.Ns"]), int(values["l2tp.Nr"])
            row["message"] = _numbers(values["l2tp.avp.message_type"])[:1]
            row["assigned"] = (
                _numbers(values["l2tp.avp.assigned_tunnel_id"])[:1],
                _numbers(values["l2tp.avp.assigned_session_id"])[:1],
            )
            row["host"] = values["l2tp.avp.host_name"]
            row["result"] = _numbers(values["l2tp.result_code"])[:1]
    protocol = _numbers(values.get("ppp.protocol", ""))
    if protocol and protocol[0] >= 0x8000:
        row["protocol"] = protocol[0]
        code, ident = [], []
        for kind in ("ppp", "chap", "pap", "eap"):
            code += _numbers(values[f"{kind}.code"])
            ident += _numbers(values["eap.id" if kind == "eap" else f"{kind}.identifier"])
        # A Protocol-Reject quotes another packet, whose fields follow.
        row["ppp"] = (code[:1], ident[:1])
    return row


def _ppp(protocol: int, payload: bytes) -> Row:
    return {"protocol": protocol, "ppp": ([payload[0]], [payload[1]])} if len(payload) > 1 else {}


def ours(packet: object) -> Row:
    """One kept packet as a row."""
    if isinstance(packet, PppPacket):
        return _ppp(packet.protocol, packet.payload)
    if not isinstance(packet, Message) or packet.missing:
        return {}
    try:
        if packet.kind in ("ike", "ike-natt"):
            return _ike(packet.data[4:] if packet.kind == "ike-natt" else packet.data)
        if packet.kind == "l2tp":
            return _l2tp(packet.data)
    except ProtocolError:
        return {"malformed": True}
    return {}


def _ike(data: bytes) -> Row:
    message = decode_ike(data)
    header = message.header
    kinds = [p.payload_type for p in message.payloads]
    notifies = [p.notify_type for p in message.payloads if isinstance(p, NotificationPayload)]
    vendors = [p.vendor_id.hex() for p in message.payloads if isinstance(p, VendorIdPayload)]
    if message.is_ikev2:
        kinds = [p.type for p in message.v2_payloads]
        notifies = list(message.v2_notify_types)
        vendors = [p.body.hex() for p in message.v2_payloads if p.type == 43]
    return {
        "cookies": (header.initiator_cookie.hex(), header.responder_cookie.hex()),
        "exchange": header.exchange,
        "flags": header.flags,
        "message id": header.message_id,
        "length": header.length,
        "payloads": kinds,
        "notifies": notifies,
        "vendor ids": vendors,
    }


def _l2tp(data: bytes) -> Row:
    message = decode_l2tp(data)
    if isinstance(message, ControlMessage):
        tunnel, session = message.number(9), message.number(14)
        return {
            "control": True,
            "ids": (message.tunnel_id, message.session_id),
            "numbers": (message.ns, message.nr),
            "message": [message.message_type] if message.message_type is not None else [],
            "assigned": ([tunnel] if tunnel is not None else [], [session] if session is not None
                         else []),
            "host": (message.data(7) or b"").decode("utf-8", "replace"),
            "result": [message.result.result] if message.result else [],
        }  # fmt: skip
    if isinstance(message, DataMessage):
        row: Row = {"control": False, "ids": (message.tunnel_id, message.session_id)}
        try:
            frame = decode_frame(message.payload)
        except ProtocolError:
            return row
        return row | (_ppp(frame.protocol, frame.payload) if frame.protocol >= 0x8000 else {})
    return {}


def compared(path: Path) -> list[str]:
    """Differences in one capture, as text."""
    rows = {n: theirs(v) for n, v in wireshark(path).items() if not v.get("gre.proto")}
    mine: dict[int, Row] = {}
    with open_capture(path) as capture:
        for packet in Prefilter(capture):
            row = ours(packet)
            if row:
                assert isinstance(packet, Message | PppPacket)
                mine[packet.frame] = row
    found = []
    for number in sorted(rows.keys() & mine.keys()):
        for name, value in rows[number].items():
            if name in ("payloads",) and _encrypted(mine[number]):
                continue
            if mine[number].get(name) != value:
                found.append(f"#{number} {name}: {mine[number].get(name)!r}, not {value!r}")
    for number in sorted(n for n in rows.keys() - mine.keys() if rows[n]):
        found.append(f"#{number}: not seen by us: {rows[number]}")
    return found


def _encrypted(row: Row) -> bool:
    flags, exchange = row.get("flags"), row.get("exchange")
    return isinstance(flags, int) and isinstance(exchange, int) and bool(
        flags & 1 or exchange >= 35
    )  # fmt: skip


def compared_files() -> list[Path]:
    given = captures(SHARED) if SHARED.is_dir() else []
    return captures(OWN) + [p for p in given if not p.name.startswith(CRAFTED)]


@pytest.mark.parametrize("path", compared_files(), ids=lambda p: f"{p.parent.name}/{p.name}")
def test_decoded_as_wireshark_does(path: Path) -> None:
    if path.name in JUSTIFIED:
        pytest.skip(JUSTIFIED[path.name])
    assert compared(path) == []


def test_the_comparison_compares_something() -> None:
    rows = [r for p in captures(OWN) for v in wireshark(p).values() if (r := theirs(v))]
    assert len(rows) > 200


def test_echoes_are_recognised_by_code() -> None:
    lcp = LCP.to_bytes(2, "big")
    assert (ppp_kind(lcp + b"\x09"), ppp_kind(lcp + b"\x01")) == ("echo", "control")
