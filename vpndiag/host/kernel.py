"""Which parts of the Linux kernel are there: built in, loaded, loadable, or not at all.

Asked in the order of how much each source proves. A container often shows neither configuration
nor modules; then the answer is "cannot tell", unless the part shows itself under ``/proc``.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import field

from vpndiag.host.machine import Machine
from vpndiag.observations.host import ModuleState
from vpndiag.records import record

CONFIG_OF = {
    "ppp_generic": "CONFIG_PPP",
    "l2tp_ppp": "CONFIG_PPPOL2TP",
    "l2tp_netlink": "CONFIG_L2TP",
    "esp4": "CONFIG_INET_ESP",
    "xfrm_user": "CONFIG_XFRM_USER",
    "af_key": "CONFIG_NET_KEY",
}
"""Modules of a Linux L2TP/IPsec client and the options of the kernel that build them."""

_SHOWS = {
    "l2tp_ppp": "/proc/net/pppol2tp",
    "af_key": "/proc/net/pfkey",
}
"""What is there only while the part is."""

_BLACKLISTS = ("/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d")
_MAX_CONFIG = 4 << 20


@record(slots=True)
class Kernel:
    """What the sources say; None: the source is not there."""

    loaded: set[str] | None = None
    config: dict[str, str] | None = None
    config_source: str = ""
    builtin: set[str] | None = None
    loadable: set[str] | None = None
    blacklisted: dict[str, str] = field(default_factory=dict)


def modules(machine: Machine) -> dict[str, tuple[ModuleState, str]]:
    """State and source of each module in :data:`CONFIG_OF`."""
    kernel = _read(machine)
    return {name: _state(name, kernel, machine) for name in CONFIG_OF}


def _state(name: str, kernel: Kernel, machine: Machine) -> tuple[ModuleState, str]:
    if kernel.loaded is not None and name in kernel.loaded:
        return "loaded", "/proc/modules"
    shown = _SHOWS.get(name)
    if shown and machine.exists(shown):
        return "loaded", shown
    option = CONFIG_OF[name]
    configured = kernel.config.get(option, "n") if kernel.config is not None else ""
    if configured == "y":
        return "built-in", kernel.config_source
    if configured == "n":
        return "absent", f"{option} in {kernel.config_source}"
    if kernel.builtin is not None and name in kernel.builtin:
        return "built-in", "modules.builtin"
    if kernel.loadable is None:
        return "cannot-tell", "the modules of this kernel are not to be seen here"
    if name not in kernel.loadable:
        return "absent", "modules.dep"
    if name in kernel.blacklisted:
        return "blacklisted", kernel.blacklisted[name]
    return "loadable", "modules.dep"


def _read(machine: Machine) -> Kernel:
    release = machine.kernel()
    kernel = Kernel()
    loaded = machine.read("/proc/modules")
    if loaded is not None:
        kernel.loaded = {line.split()[0] for line in loaded.splitlines() if line.strip()}
    kernel.config, kernel.config_source = _config(machine, release)
    for base in (f"/lib/modules/{release}", f"/usr/lib/modules/{release}"):
        builtin = machine.read(f"{base}/modules.builtin")
        if builtin is not None:
            kernel.builtin = {_name(line) for line in builtin.splitlines()}
        loadable = machine.read(f"{base}/modules.dep")
        if loadable is not None:
            kernel.loadable = {_name(line.partition(":")[0]) for line in loadable.splitlines()}
            break
    kernel.blacklisted = _blacklisted(machine)
    return kernel


def _name(path: str) -> str:
    """``kernel/drivers/net/ppp/ppp_generic.ko.xz`` is ``ppp_generic``."""
    return path.rsplit("/", 1)[-1].partition(".")[0].strip().replace("-", "_")


def _config(machine: Machine, release: str) -> tuple[dict[str, str] | None, str]:
    packed = machine.read_bytes("/proc/config.gz")
    if packed is not None:
        try:
            text = zlib.decompressobj(31).decompress(packed, _MAX_CONFIG).decode("ascii", "replace")
        except zlib.error:
            text = ""
        if "CONFIG_" in text:
            return _options(text), "/proc/config.gz"
    for path in (f"/boot/config-{release}", f"/lib/modules/{release}/config"):
        found = machine.read(path)
        if found is not None and "CONFIG_" in found:
            return _options(found), path
    return None, ""


def _options(text: str) -> dict[str, str]:
    return {
        name: value.strip()
        for name, _, value in (line.partition("=") for line in text.splitlines())
        if name.startswith("CONFIG_")
    }


_BLOCKED = re.compile(r"^\s*(?:blacklist\s+(\S+)|install\s+(\S+)\s+\S*/(?:true|false)\b)", re.M)


def _blacklisted(machine: Machine) -> dict[str, str]:
    """Modules that are not loaded by themselves, and the file that says so."""
    found: dict[str, str] = {}
    for directory in _BLACKLISTS:
        for name in machine.names(directory) or ():
            if not name.endswith(".conf"):
                continue
            for match in _BLOCKED.finditer(machine.read(f"{directory}/{name}") or ""):
                module = (match[1] or match[2]).replace("-", "_")
                found.setdefault(module, f"{directory}/{name}")
    return found
