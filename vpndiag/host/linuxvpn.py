"""The programs of a Linux L2TP/IPsec client, and the connections that they know."""

from __future__ import annotations

import re

from vpndiag.host.facts import MAX_ROWS
from vpndiag.host.machine import Machine
from vpndiag.observations import HostConnection, HostService, HostSetting
from vpndiag.observations.host import ServiceState

_DIRECTORIES = ("/usr/lib/ipsec", "/usr/libexec/ipsec", "/usr/libexec/strongswan",
                "/usr/lib/strongswan", "/usr/local/libexec/ipsec", "/usr/sbin", "/sbin",
                "/usr/local/sbin", "/usr/bin")  # fmt: skip
_PLUGINS = (
    "/usr/lib/NetworkManager/VPN/nm-l2tp-service.name",
    "/etc/NetworkManager/VPN/nm-l2tp-service.name",
)
_VERSION = re.compile(r"\b(Libreswan|strongSwan)\s+U?v?(\d+(?:\.\d+)*)", re.I)


def running(machine: Machine) -> set[str] | None:
    """Names of all processes that may be seen (cut to 15 characters by the kernel)."""
    pids = [name for name in machine.names("/proc") or () if name.isdecimal()]
    names = {(machine.read(f"/proc/{pid}/comm") or "").strip() for pid in pids}
    names.discard("")
    return names or None


def services(machine: Machine, names: set[str] | None) -> list[HostService]:
    """What is installed and what runs. ``names``: :func:`running`."""
    kind, version = _ipsec_version(machine)
    found = []
    for name, role in (("charon", "ike"), ("pluto", "ike"), ("xl2tpd", "l2tp"), ("kl2tpd", "l2tp"),
                       ("pppd", "ppp")):  # fmt: skip
        programs = ("charon", "charon-systemd") if name == "charon" else (name,)
        path = next((p for p in (_installed(machine, x) for x in programs) if p), None)
        mine = {"charon": "strongswan", "pluto": "libreswan"}.get(name) == kind
        found.append(
            HostService(
                t=machine.now(),
                name=name,
                role=role,  # type: ignore[arg-type]
                state=_state(path, programs, names),
                version=f"{kind} {version}" if mine else "",
                detail=path or "",
            )
        )
    plugin = next((path for path in _PLUGINS if machine.exists(path)), None)
    found.append(
        HostService(
            t=machine.now(),
            name="NetworkManager-l2tp",
            role="manager",
            state=_state(plugin, ("nm-l2tp-service",), names),
            detail=plugin or "",
        )
    )
    return found


def _installed(machine: Machine, name: str) -> str | None:
    """Its path. This user need not be allowed to start it: pppd often is for one group only."""
    """Its path. It need not be executable by this user: pppd often is not."""
    for directory in _DIRECTORIES:
        if machine.exists(f"{directory}/{name}"):
            return f"{directory}/{name}"
    return machine.program(name)


def _state(path: str | None, programs: tuple[str, ...], names: set[str] | None) -> ServiceState:
    if names is not None and any(name[:15] in names for name in programs):
        return "running"
    if path is None:
        return "absent"
    return "stopped" if names is not None else "cannot-tell"


def _ipsec_version(machine: Machine) -> tuple[str, str]:
    match = _VERSION.search(machine.run("ipsec", "--version") or "")
    return (match[1].lower(), match[2]) if match else ("", "")


_POLICY = re.compile(r"^\s*ikev1-policy\s*=\s*\"?(\w+)", re.M)


def ikev1_policy(machine: Machine) -> HostSetting:
    """Libreswan's ``ikev1-policy``, from ``config setup`` of ``ipsec.conf`` and what it includes.
    The last one given is in force."""
    name, path = "ikev1-policy", "/etc/ipsec.conf"
    text = machine.read(path)
    if text is None:
        return HostSetting(t=machine.now(), name=name, state="cannot-tell", source=path)
    found = [(m[1].lower(), path) for m in _POLICY.finditer(text)]
    for entry in machine.names("/etc/ipsec.d") or ():
        if entry.endswith(".conf"):
            other = f"/etc/ipsec.d/{entry}"
            found += [(m[1].lower(), other) for m in _POLICY.finditer(machine.read(other) or "")]
    if not found:
        return HostSetting(t=machine.now(), name=name, state="not-set", source=path)
    value, where = found[-1]
    return HostSetting(t=machine.now(), name=name, state="set", value=value, source=where)


def split_terse(line: str) -> list[str]:
    """The fields of a line of ``nmcli -t``, which escapes colons in them."""
    return [part.replace("\\:", ":").replace("\\\\", "\\") for part in re.split(r"(?<!\\):", line)]


def network_manager(machine: Machine) -> list[HostConnection]:
    """VPN connections of NetworkManager that are L2TP. Of the VPN's data only the gateway and the
    kind of IPsec are read; user names and secrets are not."""
    listed = machine.run("nmcli", "-t", "-f", "UUID,TYPE,DEVICE,ACTIVE,NAME", "connection", "show")
    found = []
    for line in (listed or "").splitlines()[:MAX_ROWS]:
        parts = split_terse(line)
        if len(parts) != 5 or parts[1] != "vpn":
            continue
        uuid, _, _, active, name = parts
        shown = machine.run("nmcli", "-t", "-f", "vpn.service-type,vpn.data,ipv4.never-default",
                            "connection", "show", uuid)  # fmt: skip
        values = dict(line.split(":", 1) for line in (shown or "").splitlines() if ":" in line)
        if not values.get("vpn.service-type", "").endswith(".l2tp"):
            continue
        data = _vpn_data(values.get("vpn.data", ""))
        auth = "certificate" if data.get("machine-auth-type") == "tls" else "psk"
        never = values.get("ipv4.never-default", "")
        found.append(
            HostConnection(
                t=machine.now(),
                name=name,
                type="L2TP",
                server=data.get("gateway", ""),
                status="connected" if active == "yes" else "disconnected",
                full_tunnel={"no": "yes", "yes": "no"}.get(never, "cannot-tell"),  # type: ignore[arg-type]
                ipsec_auth=auth if data.get("ipsec-enabled") == "yes" else "",  # type: ignore[arg-type]
                source="NetworkManager",
            )
        )
    return found


_WANTED = ("gateway", "ipsec-enabled", "machine-auth-type")


def _vpn_data(text: str) -> dict[str, str]:
    """``vpn.data`` of nmcli: ``gateway = vpn.example.com, ipsec-enabled = yes, ...``."""
    pairs = (part.partition("=") for part in text.replace("\\:", ":").split(","))
    return {k.strip(): v.strip() for k, _, v in pairs if k.strip() in _WANTED}


_LAC = re.compile(r"^\s*\[lac\s+([^\]]{1,64})\]", re.I)
_LNS = re.compile(r"^\s*lns\s*=\s*([^\s;]{1,255})", re.I)


def xl2tpd(machine: Machine) -> list[HostConnection]:
    """The ``[lac NAME]`` sections of ``xl2tpd.conf``: connections that this computer can dial."""
    path = "/etc/xl2tpd/xl2tpd.conf"
    found: list[HostConnection] = []
    name = ""
    for line in (machine.read(path) or "").splitlines():
        if match := _LAC.match(line):
            name = match[1].strip()
        elif line.lstrip().startswith("["):
            name = ""
        elif name and name != "default" and (match := _LNS.match(line)):
            found.append(
                HostConnection(t=machine.now(), name=name, type="L2TP", server=match[1],
                               source=path)
            )  # fmt: skip
            name = ""
    return found[:MAX_ROWS]
