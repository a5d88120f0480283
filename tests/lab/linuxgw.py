"""Linux gateways: strongSwan or Libreswan, xl2tpd and pppd on a real kernel (User-Mode Linux)."""

from __future__ import annotations

import json
from pathlib import Path

from tests.lab import insidenet, linuxconf
from tests.lab.config import GatewayConfig, require_supported
from tests.lab.ikeprobe import ask_l2tp, wait_for_ike
from tests.lab.netns import GATEWAY_ADDRESS, ROUTER_ADDRESS, Network, Site
from tests.lab.process import LabError, Owned
from tests.lab.uml import CACHE, Machine

_EVERYTHING = frozenset(GatewayConfig.__dataclass_fields__) - {"radius_secret_wrong"}
SUPPORTED = {
    "strongswan": _EVERYTHING,
    "libreswan": _EVERYTHING - {"aggressive"},
}


class LinuxGateway(Owned):
    """A running gateway; ``reconfigure`` changes its configuration, and IKE daemon, in place."""

    address = GATEWAY_ADDRESS

    def __init__(self, config: GatewayConfig | None = None) -> None:
        super().__init__()
        self.config = config or GatewayConfig()
        self._check(self.config)
        try:
            self.site = Site("gw", own_address=False)
            self.site.add_tap("tap0")
            self.machine = Machine(self.site, "tap0", "vpn-gateway")
            self._network_up()
            self._apply(self.config)
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        return self.config.ike_daemon

    @staticmethod
    def _check(config: GatewayConfig) -> None:
        require_supported(config.ike_daemon, config, SUPPORTED[config.ike_daemon])

    def _network_up(self) -> None:
        self.machine.sh(
            "ip -batch - <<E\n"
            f"addr add {GATEWAY_ADDRESS}/24 dev vec0\nlink set vec0 up\n"
            f"route add default via {ROUTER_ADDRESS}\nlink add dummy0 type dummy\nE\n"
            "ethtool -K vec0 tx off tso off gro off\n"
            "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6\ntrue"
        )

    def _apply(self, config: GatewayConfig) -> None:
        files: dict[str, str | bytes] = dict(linuxconf.common_files(config))
        script = ""
        if config.ipsec:
            if config.ike_daemon == "strongswan":
                files |= linuxconf.strongswan_files(config, GATEWAY_ADDRESS)
                script += linuxconf.STRONGSWAN_START
            else:
                files |= linuxconf.libreswan_files(config, GATEWAY_ADDRESS)
                script += linuxconf.libreswan_start(CACHE / "libreswan")
        if config.ipsec and not config.plain_l2tp:
            # as on every gateway that is set up with care
            script += (
                f"ip xfrm policy add dir in dst {GATEWAY_ADDRESS}/32 proto udp dport 1701 "
                "action block priority 4000000\n"
            )
        if config.pppd != "normal":
            body = "exit 1" if config.pppd == "crash" else "exec sleep 86400"
            files["fake-pppd"] = f"#!/bin/sh\n{body}\n"
            script += (
                "chmod 755 /run/lab/fake-pppd; mount --bind /run/lab/fake-pppd /usr/sbin/pppd\n"
            )
        if config.l2tp:
            script += linuxconf.XL2TPD_START
        self.machine.sh(script, files=files, before=linuxconf.STOP, timeout=120)
        self._start_dns(config)
        self._make_inside(config)
        self.config = config
        if config.ipsec and config.ikev1:
            wait_for_ike(self.site, GATEWAY_ADDRESS, 60)
        elif (
            config.l2tp
            and not config.ipsec
            and not ask_l2tp(self.site, GATEWAY_ADDRESS, timeout=30)
        ):
            raise LabError(f"L2TP did not answer\n{self.log()}")

    def _start_dns(self, config: GatewayConfig) -> None:
        inside = [config.inside_address, *config.dns]
        addresses = "\n".join(f"addr replace {a}/32 dev dummy0" for a in dict.fromkeys(inside))
        script = f"ip -batch - <<E\naddr flush dev dummy0\nlink set dummy0 up\n{addresses}\nE\n"
        script += "[ -e /run/dnsd.pid ] && kill -9 $(cat /run/dnsd.pid)\nrm -f /run/dnsd.pid\n"
        if config.dns_mode != "off":
            records = json.dumps({k: list(v) for k, v in config.dns_records.items()})
            # Handed over as text: the guest has a /tmp of its own, and the project may lie there.
            program = Path(__file__).with_name("dnsd.py").read_text()
            script += (
                f"cat >/run/dnsd.py <<'END-OF-DNSD'\n{program}\nEND-OF-DNSD\n"
                f"python3 -S -E /run/dnsd.py 0.0.0.0 "
                f"{config.dns_mode} '{records}' >/run/log/dns.log 2>&1 &\n"
                "echo $! >/run/dnsd.pid\n"
            )
        self.machine.sh(script, check=False)

    def _make_inside(self, config: GatewayConfig) -> None:
        had, wanted = self.config.inside, config.inside
        if had is None and wanted is None:
            return
        forwards = wanted is None or wanted.forwarding != "no"
        lines = f"{insidenet.CLEAN}echo {int(forwards)} >/proc/sys/net/ipv4/ip_forward\n"
        if wanted is not None:
            lines += "".join(f"ip netns add {name}\n" for name in insidenet.GUEST)
            lines += insidenet.script(wanted, "/run/inside")
        self.machine.sh(lines)

    # the methods of every gateway

    def reconfigure(self, config: GatewayConfig) -> None:
        """Another configuration; the daemons start anew, all sessions are forgotten."""
        self._check(config)
        # path MTUs learnt from ICMP go with the route, else after ten minutes
        self.machine.sh(f"ip route del default; ip route add default via {ROUTER_ADDRESS}")
        self._apply(config)

    def network(self, **settings: object) -> Network:
        """A network before this gateway; see Network for the settings."""
        return Network(self.site, **settings)  # type: ignore[arg-type]

    def log(self) -> str:
        """The logs of the IKE daemon, xl2tpd, pppd and the DNS server."""
        try:
            return self.machine.sh("tail -n +1 /run/log/*", check=False, timeout=10).output
        except LabError:
            return self.machine.console()

    def stop_l2tp(self) -> None:
        """End xl2tpd and pppd while IPsec stays up."""
        self.machine.sh("killall -q -9 xl2tpd pppd; true")

    def kill_ike(self) -> None:
        """End the IKE daemon without a word; established SAs stay in the kernel."""
        self.machine.sh("killall -q -9 charon pluto; true")

    def kill_pppd(self) -> None:
        self.machine.sh("killall -q -9 pppd; true")

    def freeze(self) -> None:
        self.machine.freeze()

    def thaw(self) -> None:
        self.machine.thaw()

    def power_off(self) -> None:
        """Cut its power."""
        self.machine.power_off()

    def power_on(self) -> None:
        """Boot it again, with the same configuration."""
        self.machine.boot()
        self._network_up()
        self._apply(self.config)

    def _close(self) -> None:
        for name in ("machine", "site"):
            if hasattr(self, name):
                getattr(self, name).close()
