"""What the system's L2TP client needs on this computer: ports, services, kernel, settings.

Rungs ``path`` to ``lcp``. Each judge returns findings and a sentence about what is in order. They
count only while no connection is up: one that is shows that nothing essential is missing.
"""

from __future__ import annotations

from vpndiag.diagnosis.own import GONE, OwnVpn, is_l2tp, same
from vpndiag.diagnosis.ruling import evidence, finding
from vpndiag.observations import HostConnection, HostPort
from vpndiag.report.model import Finding

Judged = tuple[list[Finding], str]
"""Findings, and what was seen to be in order (empty: nothing was looked at)."""

_IKE = {
    "Linux": ("charon", "charon-systemd", "charon-nm", "pluto"),
    "macOS": ("racoon",),
    "Windows": ("svchost", "System", "lsass"),
}
_L2TP = {
    "Linux": ("xl2tpd", "kl2tpd", "nm-l2tp-service"),
    "macOS": ("pppd", "configd", "kernel_task"),
    "Windows": ("svchost", "System"),
}
"""Programs of the system's own client, which hold these ports rightly."""


def path(own: OwnVpn) -> Judged:
    """UDP 500 and 4500 are free, or held by the system's own IKE."""
    if not own.with_ipsec:
        return [], ""
    said: list[str] = []
    found: list[Finding] = []
    for number in (500, 4500):
        port = own.port(number)
        if port is None or port.taken == "cannot-tell":
            said.append(f"who holds UDP {number} cannot be told here")
            continue
        stranger = _stranger(port, _IKE.get(own.system, ()))
        if stranger is not None:
            found.append(_taken("path.port-taken", port, stranger))
        elif _open(port):
            said.append(f"UDP {number} is held by {_who(port)}")
        else:
            said.append(f"UDP {number} is free")
    return found[:1], "; ".join(said)


def _open(port: HostPort) -> bool:
    """Taken on an address that the client needs (not only on loopback)."""
    return port.taken == "yes" and not all(
        a.startswith("127.") or a == "::1" for a in port.addresses
    )


def _who(port: HostPort) -> str:
    if port.holders:
        return ", ".join(port.holders)
    if port.running:
        return f"a program that is not told ({', '.join(port.running)} runs here)"
    return "a program that is not told"


def _stranger(port: HostPort, own_programs: tuple[str, ...]) -> str | None:
    """A program that holds the port and is not the system's; None: there is none. Empty: it is not
    told which, and none of the system's is known to run."""
    if not _open(port):
        return None
    mine = {name[:15] for name in own_programs}
    strangers = [name for name in port.holders if name[:15] not in mine]
    if strangers:
        return strangers[0]
    if port.holders or any(name[:15] in mine for name in port.running):
        return None
    return port.running[0] if port.running else ""


def _taken(code: str, port: HostPort, stranger: str, *, warning: bool = False) -> Finding:
    who = stranger or "a program that this system does not name to an ordinary user"
    where = ", ".join(port.addresses[:3])
    told = bool(stranger) and stranger in port.holders
    return finding(
        code,
        evidence(f"UDP {port.port} ({where}) is held by {who}", port),
        detail=f"UDP port {port.port} of this computer is held by {who}.",
        severity="error" if told and not warning else "warning",
        confidence="high" if told else "medium",
    )


def ike(own: OwnVpn) -> Judged:
    """An IKE service is there and speaks IKEv1."""
    if not own.with_ipsec:
        return [], ""
    if own.system == "Windows":
        return _windows_service(own, "IKEEXT", "ike.no-service")
    if own.system != "Linux":
        return [], ""
    daemons = own.has("charon", "pluto")
    if not daemons:
        looked = [s for s in map(own.service, ("charon", "pluto")) if s]
        if not looked:
            return [], ""
        return [
            finding(
                "ike.no-service",
                evidence("neither strongSwan (charon) nor Libreswan (pluto) is installed", *looked),
                detail="No IKE daemon is installed on this computer: neither strongSwan nor "
                "Libreswan.",
            )
        ], ""
    names = ", ".join(s.version or s.name for s in daemons)
    return _ikev1(own), f"{names} is installed"


def _windows_service(own: OwnVpn, name: str, code: str) -> Judged:
    service = own.service(name)
    if service is None or service.state == "cannot-tell":
        return [], ""
    if service.state == "absent" or (service.start == "disabled" and service.state != "running"):
        how = "is not there" if service.state == "absent" else "is disabled"
        return [
            finding(
                code,
                evidence(f"the service {name} {how}", service),
                detail=f"The Windows service {name} {how}.",
                confidence="certain",
            )
        ], ""
    start = f", starts by itself ({service.start})" if service.start else ""
    return [], f"{name} is {service.state}{start}"


def _ikev1(own: OwnVpn) -> list[Finding]:
    """Libreswan 5 refuses IKEv1 unless it is told otherwise; 4 does when told so."""
    pluto, policy = own.has("pluto"), own.setting("ikev1-policy")
    if not pluto or policy is None or policy.state == "cannot-tell":
        return []
    number = pluto[0].version.rpartition(" ")[2].partition(".")[0]
    refused = policy.value in ("drop", "reject") or (
        policy.state == "not-set" and number.isdecimal() and int(number) >= 5
    )
    if not refused:
        return []
    said = f"ikev1-policy={policy.value}" if policy.value else "ikev1-policy is not set"
    version = pluto[0].version or "Libreswan"
    other = bool(own.has("charon"))
    return [
        finding(
            "ike.ikev1-disabled",
            evidence(f"{version} is installed", pluto[0]),
            evidence(f"{policy.source}: {said}", policy),
            detail=f"{version[0].upper()}{version[1:]} refuses IKEv1, which L2TP/IPsec needs: "
            f"{said} in {policy.source}.",
            severity="warning" if other else "error",
            confidence="medium" if other else "high",
        )
    ]


def ipsec(own: OwnVpn) -> Judged:
    """IPsec can be set up by this system."""
    if not own.with_ipsec:
        return [], ""
    if own.system == "Windows":
        found, said = _windows_service(own, "PolicyAgent", "ipsec.no-service")
        found += [*_prohibited(own), *_nat_setting(own)]
        return found, said
    parts = [m for m in (own.module("xfrm_user"), own.module("esp4")) if m is not None]
    gone = [m for m in parts if m.state in GONE]
    if gone:
        named = " and ".join(m.name for m in gone)
        verb = "is" if len(gone) == 1 else "are"
        how = "switched off (blacklisted)" if gone[0].state == "blacklisted" else "not there"
        return [
            finding(
                "ipsec.kernel-missing",
                *(evidence(f"{m.name}: {m.state} ({m.source})", m) for m in gone),
                detail=f"The kernel of this computer cannot do IPsec: {named} {verb} {how}.",
            )
        ], ""
    return [], _modules_said(parts)


def _modules_said(parts: list) -> str:  # type: ignore[type-arg]
    said = [f"{m.name} is {m.state}" for m in parts if m.state != "cannot-tell"]
    said += [f"whether {m.name} is there cannot be told here" for m in parts
             if m.state == "cannot-tell"]  # fmt: skip
    return "; ".join(said)


def _prohibited(own: OwnVpn) -> list[Finding]:
    setting = own.setting("ProhibitIpSec")
    if setting is None or setting.value in ("", "0"):
        return []
    return [
        finding(
            "ipsec.prohibited",
            evidence(f"{setting.source}: ProhibitIpSec={setting.value}", setting),
            detail=f"ProhibitIpSec={setting.value} makes Windows send L2TP without IPsec.",
            confidence="certain",
        )
    ]


_MAYBE_NAT = ("789", "809")


def _nat_setting(own: OwnVpn) -> list[Finding]:
    setting = own.setting("AssumeUDPEncapsulationContextOnSendRule")
    if setting is None or setting.state == "cannot-tell":
        return []
    if setting.value not in ("", "0"):
        return []
    failed = [c for c in own.connections if c.error in _MAYBE_NAT]
    said = "is 0" if setting.value else "is not set"
    return [
        finding(
            "ipsec.nat-setting",
            evidence(f"{setting.name} {said}", setting),
            *(evidence(f'the last attempt of "{c.name}" ended with error {c.error}', c)
              for c in failed[:2]),
            detail="If the VPN server is behind NAT, Windows refuses the connection: "
            f"AssumeUDPEncapsulationContextOnSendRule {said}.",
            severity="warning" if failed else "info",
            confidence="medium" if failed else "low",
        )
    ]  # fmt: skip


def l2tp(own: OwnVpn) -> Judged:
    """An L2TP client is there and can use its port."""
    found = _other_type(own)
    if own.system != "Linux":
        return found, ""
    programs = own.has("xl2tpd", "kl2tpd")
    if not programs:
        looked = [s for s in map(own.service, ("xl2tpd", "kl2tpd")) if s]
        if looked:
            found.append(
                finding(
                    "l2tp.no-program",
                    evidence("neither xl2tpd nor kl2tpd is installed", *looked),
                    detail="No L2TP client is installed on this computer: neither xl2tpd nor "
                    "kl2tpd.",
                )
            )
        return found, ""
    found += [*_kernel_l2tp(own), *_port_1701(own)]
    return found, f"{', '.join(s.name for s in programs)} is installed"


def _kernel_l2tp(own: OwnVpn) -> list[Finding]:
    """kl2tpd needs the kernel's L2TP; xl2tpd does without, more slowly."""
    module = own.module("l2tp_ppp")
    if module is None or module.state not in GONE:
        return []
    kernel_only, either = own.has("kl2tpd"), own.has("xl2tpd")
    severity = "error" if not either else "warning" if kernel_only else "info"
    return [
        finding(
            "l2tp.kernel-missing",
            evidence(f"l2tp_ppp: {module.state} ({module.source})", module),
            detail=f"The kernel's L2TP (l2tp_ppp) is {module.state} here.",
            severity=severity,  # type: ignore[arg-type]
        )
    ]


def _port_1701(own: OwnVpn) -> list[Finding]:
    port = own.port(1701)
    if port is None or not _open(port):
        return []
    stranger = _stranger(port, _L2TP["Linux"])
    if stranger is not None:
        return [_taken("l2tp.port-taken", port, stranger, warning=own.managed)]
    holders = port.holders or port.running
    if "xl2tpd" in holders and (own.managed or own.has("kl2tpd")):
        return [
            finding(
                "l2tp.port-taken",
                evidence(f"UDP 1701 ({', '.join(port.addresses[:3])}) is held by xl2tpd", port),
                detail="xl2tpd runs as a service and holds UDP 1701; NetworkManager or kl2tpd then "
                "has to use another port, which some gateways do not accept.",
                severity="warning",
                confidence="high" if port.holders else "medium",
            )
        ]
    return []


def _other_type(own: OwnVpn) -> list[Finding]:
    """The connection to the profile's gateway is not an L2TP one."""
    gateway = own.scope.gateway
    mine = [c for c in own.of(HostConnection) if gateway and same(c.server, gateway)]
    if not mine or any(is_l2tp(c) for c in mine):
        return []
    first = mine[0]
    return [
        finding(
            "l2tp.other-type",
            *(evidence(f'"{c.name}" to {c.server}: {c.type}', c) for c in mine[:4]),
            detail=f'The connection "{first.name}" to {first.server} is set to {first.type}, '
            "not to L2TP.",
            severity="warning",
            confidence="high",
        )
    ]


def lcp(own: OwnVpn) -> Judged:
    """PPP is there: the kernel's part and pppd."""
    if own.system != "Linux":
        return [], ""
    module, pppd = own.module("ppp_generic"), own.service("pppd")
    if pppd is not None and pppd.state == "absent":
        return [
            finding(
                "lcp.no-ppp",
                evidence("pppd is not installed", pppd),
                detail="pppd is not installed on this computer.",
                confidence="high",
            )
        ], ""
    if module is not None and module.state in GONE:
        return [
            finding(
                "lcp.no-ppp",
                evidence(f"ppp_generic: {module.state} ({module.source})", module),
                detail=f"The kernel of this computer cannot do PPP: ppp_generic is {module.state}.",
                confidence="certain" if module.state == "absent" else "high",
            )
        ], ""
    return [], "; ".join(filter(None, ["pppd is installed" if pppd else "",
                                       _modules_said([module] if module else [])]))  # fmt: skip
