"""The gateways by name, and whether they can run on this machine."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from tests.lab.config import GatewayConfig
from tests.lab.l2tpns import RADIUS, L2tpns
from tests.lab.l2tpns import SERVER as L2TPNS
from tests.lab.linuxgw import LinuxGateway
from tests.lab.netns import require_root
from tests.lab.process import LabError
from tests.lab.softether import SERVER, SoftEther
from tests.lab.uml import CACHE, KERNEL

Gateway = SoftEther | LinuxGateway | L2tpns
GATEWAYS = ("softether", "strongswan", "libreswan")
"""Those with IPsec."""
PLAIN_GATEWAYS = ("l2tpns",)
"""Those that know L2TP in the clear only."""
ALL_GATEWAYS = (*GATEWAYS, *PLAIN_GATEWAYS)
_TOOLS = ("ip", "nft", "ethtool", "tcpdump", "unshare", "nsenter", "vpncmd", "xl2tpd", "pppd",
          "swanctl", "certutil", "pk12util", "modprobe")  # fmt: skip


def start(name: str, config: GatewayConfig | None = None) -> Gateway:
    """Start a gateway; it answers when this returns.  Raises LabError, Unsupported."""
    config = for_gateway(name, config)
    made = {"softether": SoftEther, "l2tpns": L2tpns}.get(name, LinuxGateway)
    return made(config)


def for_gateway(name: str, config: GatewayConfig | None = None) -> GatewayConfig:
    """The configuration with the IKE daemon that the gateway's name means, or without IPsec and
    with the logins that l2tpns knows."""
    config = config or GatewayConfig()
    if name == "l2tpns":
        auth = config.ppp_auth if config.ppp_auth != GatewayConfig().ppp_auth else ("chap", "pap")
        return replace(config, ipsec=False, ppp_auth=auth)
    if name == "softether":
        return config
    if name == "strongswan":
        return replace(config, ike_daemon="strongswan")
    if name == "libreswan":
        return replace(config, ike_daemon="libreswan")
    raise LabError(f"no gateway is called {name}")


def missing_parts() -> str:
    """Why the lab cannot run here, or the empty string."""
    try:
        require_root()
    except LabError as error:
        return str(error)
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    files = (SERVER, L2TPNS, RADIUS, KERNEL, CACHE / "libreswan", Path("/usr/lib/ipsec/charon"))
    missing += [str(path) for path in files if not path.exists()]
    if not Path("/dev/net/tun").exists():
        missing.append("/dev/net/tun")
    return f"missing: {', '.join(missing)} (tests/lab/install.sh)" if missing else ""
