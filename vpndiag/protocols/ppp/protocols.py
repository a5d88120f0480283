"""PPP protocol numbers (IANA "PPP DLL Protocol Numbers") and the names people know them by."""

from __future__ import annotations

IP = 0x0021
IPV6 = 0x0057
COMPRESSED = 0x00FD
IPCP = 0x8021
IPV6CP = 0x8057
CCP = 0x80FD
LCP = 0xC021
PAP = 0xC023
CBCP = 0xC029
CHAP = 0xC223
EAP = 0xC227
PPPOE = 0x8863
"""An Ethernet type and no PPP protocol, for which it stands where PPPoE's own packets do."""

NAMES: dict[int, str] = {
    IP: "IPv4",
    0x0023: "OSI",
    0x0029: "AppleTalk",
    0x002B: "IPX",
    0x002D: "VJ compressed TCP/IP",
    0x002F: "VJ uncompressed TCP/IP",
    0x0031: "Bridging",
    0x003D: "Multilink",
    0x0049: "Serial Data Transport",
    IPV6: "IPv6",
    0x00FB: "Link compressed",
    COMPRESSED: "Compressed",
    0x0281: "MPLS",
    IPCP: "IPCP",
    0x8023: "OSINLCP",
    0x8029: "ATCP",
    0x802B: "IPXCP",
    0x8031: "BCP",
    0x803D: "MP",
    0x803F: "NBFCP",
    0x8049: "SDCP",
    0x8053: "ECP",
    IPV6CP: "IPV6CP",
    0x80FB: "ILCCP",
    CCP: "CCP",
    0x8207: "CDPCP",
    0x8281: "MPLSCP",
    LCP: "LCP",
    PAP: "PAP",
    0xC025: "LQR",
    0xC027: "SPAP",
    CBCP: "CBCP",
    0xC02B: "BACP",
    0xC02D: "BAP",
    CHAP: "CHAP",
    EAP: "EAP",
}


def protocol_name(number: int) -> str:
    """``"LCP"`` for 0xC021; ``"0x4021"`` for a number that has no name here."""
    return NAMES.get(number) or f"0x{number:04x}"
