"""The verdict on a capture that holds no attempt to connect."""

from __future__ import annotations

from collections.abc import Iterable

from vpndiag.diagnosis.ruling import number
from vpndiag.observations import OtherTraffic
from vpndiag.observations.other import IKE_CUT_OFF, IKE_FRAGMENTS, NAT_KEEPALIVES
from vpndiag.report.model import Verdict

_WHAT = {
    "AH": "AH (IP protocol 51) is IPsec that proves who sent a packet and encrypts nothing; "
    "L2TP/IPsec uses ESP, and no packet of AH gets through a NAT.",
    "PPTP": "PPTP is another VPN: TCP 1723 for its calls, GRE (IP protocol 47) for the data.",
    "L2TPv3": "L2TPv3 (RFC 3931) joins networks; remote access uses L2TPv2.",
    "GRE": "GRE alone is a tunnel without encryption.",
    "IKE over TCP": "IKE over TCP is Cisco's own; L2TP clients use UDP.",
    "PPPoE": "PPPoE is the line to the provider; the VPN would be inside of it.",
}


def nothing(other: Iterable[OtherTraffic]) -> Verdict:
    """The verdict for a capture without any attempt."""
    seen = list(other)
    if not seen:
        return Verdict(
            "not_applicable", "Nothing of L2TP/IPsec is in this capture.", confidence="high"
        )
    packets = {o.what: o.packets for o in reversed(seen)}
    if IKE_CUT_OFF in packets:
        text = (
            f"IKE is in this capture ({packets[IKE_CUT_OFF]} packets), but its snap length left "
            "too little of it: record whole packets (tcpdump -s 0)."
        )
        return Verdict("inconclusive", text, confidence="certain")
    if IKE_FRAGMENTS in packets:
        text = (
            f"Of the IKE messages in this capture ({packets[IKE_FRAGMENTS]}) only some IP "
            "fragments were recorded: either a capture filter by port left the others out, or "
            "they are lost on the way."
        )
        return Verdict("inconclusive", text, layer="path", confidence="low")
    if NAT_KEEPALIVES in packets:
        text = (
            f"A client behind a NAT keeps its mapping alive ({packets[NAT_KEEPALIVES]} keepalives "
            "on UDP 4500 or 500), so it has an IPsec connection, or believes so; nothing else of "
            "it is in this capture."
        )
        return Verdict("inconclusive", text, layer="esp", confidence="low")
    kinds = ", ".join(f"{o.what} ({number(o.packets, 'packet')})" for o in seen)
    told = " ".join(_WHAT[o.what] for o in seen[:3] if o.what in _WHAT)
    text = f"No L2TP/IPsec in this capture, but {kinds}."
    return Verdict("not_applicable", f"{text} {told}".rstrip())
