"""Windows' phone book (``rasphone.pbk``): VPN connections and how they are meant to work.

Keys are as in the RASENTRY structure and [MS-RRASM] section 2.2.2.2. Keys that can hold secrets or
names of persons are never looked at.
"""

from __future__ import annotations

from dataclasses import field

from vpndiag.host.facts import MAX_ROWS
from vpndiag.records import record

STRATEGIES = {
    "0": "automatic", "1": "PPTP", "2": "PPTP, then others", "3": "L2TP", "4": "L2TP, then others",
    "5": "SSTP", "6": "SSTP, then others", "7": "IKEv2", "8": "IKEv2, then others",
    "12": "PPTP, then SSTP", "13": "L2TP, then SSTP", "14": "IKEv2, then SSTP",
}  # fmt: skip
"""``VpnStrategy`` ([MS-RRASM] section 2.2.2.2.11; 5, 6 and 12 to 14: ras.h)."""

_KEYS = {"vpnstrategy", "phonenumber", "ipprioritizeremote", "ipsecflags", "device", "type"}


@record(slots=True)
class Entry:
    """One connection. ``values``: only the keys that are looked at, in lower case."""

    name: str
    values: dict[str, str] = field(default_factory=dict)

    @property
    def is_vpn(self) -> bool:
        return self.values.get("type") == "2" or self.values.get("device", "").lower() == "vpn"

    @property
    def type(self) -> str:
        strategy = self.values.get("vpnstrategy", "")
        return STRATEGIES.get(strategy, f"strategy {strategy}" if strategy else "")

    @property
    def preshared_key(self) -> bool | None:
        """``IpSecFlags``: bit 0, a pre-shared key is used instead of a certificate."""
        flags = self.values.get("ipsecflags", "")
        return bool(int(flags) & 1) if flags.isdecimal() else None

    @property
    def full_tunnel(self) -> bool | None:
        """``IpPrioritizeRemote``: the default route goes into the VPN."""
        return {"1": True, "0": False}.get(self.values.get("ipprioritizeremote", ""))


def entries(text: str) -> list[Entry]:
    """The VPN entries of a phone book. A key's first value counts (devices repeat some)."""
    found: list[Entry] = []
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            found.append(Entry(line[1:-1][:255]))
            continue
        key, equals, value = line.partition("=")
        if found and equals and key.lower() in _KEYS:
            found[-1].values.setdefault(key.lower(), value.strip()[:255])
    return [entry for entry in found if entry.is_vpn][:MAX_ROWS]
