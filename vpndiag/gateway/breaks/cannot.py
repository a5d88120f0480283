"""Findings that no break brings about, and why."""

from __future__ import annotations

_LOCAL = "it is about this computer or the network on the way, and not the gateway"
_SYSTEM = "it is about this system's own VPN client: vpndiag host looks for it"
_CAPTURE = "a live run of this client cannot meet it: it shows in captures"
_BEYOND = "inside, the embedded gateway breaks only what is listed"
CANNOT: dict[str, str] = {
    "name.": "it is about name resolution, before there is a gateway",
    "path.prohibited": _LOCAL,
    "path.host-unreachable": _LOCAL,
    "path.net-unreachable": _LOCAL,
    "path.no-route": _LOCAL,
    "path.local-blocked": _LOCAL,
    "path.other-address-silent": "it needs a name with several addresses",
    "path.esp-blocked": "it needs plain ESP, and the embedded gateway speaks UDP only",
    "path.fragments-lost": "it needs a path that fragments large packets",
    "path.gateway-behind-nat": "it needs a router in front of the gateway",
    "path.nat-short-lived": "it needs a NAT on the way",
    "path.fragments-dropped": "it needs a path that drops fragments",
    "path.small-mtu": "it needs a path that carries only small packets",
    "ike.held-off": "the embedded gateway does not count half-open IKE SAs",
    "ike.expired-at-once": "this client always offers a lifetime: it shows in captures",
    "auth.unanswered": "a live run asks UDP 4500 afresh, and so tells a wrong key "
    "(auth.psk-mismatch:mute) from a blocked port (path.float-blocked)",
    "auth.aggressive-psk": _CAPTURE,
    "auth.xauth-": "the demo gateway does not speak XAUTH",
    "login.challenge-in-clear": _CAPTURE,
    "login.client-silent": _CAPTURE,
    "login.certificate-refused": _CAPTURE,
    "address.shared": _CAPTURE,
    "l2tp.peer-gone": "the embedded gateway does not hang in the middle of a call",
    "lcp.peer-gone": _CAPTURE,
    "path.nat-rebound": _CAPTURE,
    "path.reconnect-loop": _CAPTURE,
    "path.two-clients-one-nat": _CAPTURE,
    "ipsec.selector-mismatch": _CAPTURE,
    "ipsec.tunnel-mode": _CAPTURE,
    "esp.one-way": _CAPTURE,
    "l2tp.client-stops": _CAPTURE,
    "path.port-taken": _SYSTEM,
    "ike.no-service": _SYSTEM,
    "ike.ikev1-disabled": _SYSTEM,
    "ipsec.no-service": _SYSTEM,
    "ipsec.prohibited": _SYSTEM,
    "ipsec.kernel-missing": _SYSTEM,
    "ipsec.nat-setting": _SYSTEM,
    "l2tp.no-program": _SYSTEM,
    "l2tp.kernel-missing": _SYSTEM,
    "l2tp.port-taken": _SYSTEM,
    "l2tp.other-type": _SYSTEM,
    "lcp.no-ppp": _SYSTEM,
    "routes.": _BEYOND,
    "mtu.": _BEYOND,
    "dns.": _BEYOND,
    "app.": _BEYOND,
}
"""Codes, or their beginnings, and why no break brings them about."""
