"""SoftEther VPN Server: IKE, ESP, L2TP and PPP all in user space, its own DHCP, NAT and DNS proxy.

It starts from a small configuration file and is then told the rest by ``vpncmd``, which also
reconfigures it while it runs.  The directories that it writes to are compiled in; it gets private
ones in its own mount namespace, so that nothing of the machine changes.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from tests.lab import insidenet
from tests.lab.config import GatewayConfig, require_supported
from tests.lab.ikeprobe import wait_for_ike
from tests.lab.namespace import Namespace
from tests.lab.netns import GATEWAY_ADDRESS
from tests.lab.process import Daemon, LabError, Unsupported, run
from tests.lab.sitegw import SiteGateway

SERVER = Path("/usr/libexec/softether/vpnserver/vpnserver")
HUB = "LAB"
ADMIN = "lab-admin"
SUPPORTED = frozenset(
    {"psk", "users", "pool", "inside_address", "dns", "dns_mode", "dns_records", "mtu",
     "radius_silent", "plain_l2tp", "l2tp", "ipsec", "ppp_auth", "inside"}
)  # fmt: skip

# Read at the start only; what is not here is SoftEther's default
_BASE = """declare root
{
	uint ConfigRevision 1
	declare DDnsClient
	{
		bool Disabled true
	}
	declare ListenerList
	{
		declare Listener0
		{
			bool Enabled true
			uint Port 5555
		}
	}
	declare ServerConfiguration
	{
		bool DisableNatTraversal true
		bool DisableDeadLockCheck true
		bool DisableIPv6Listener true
		bool UseKeepConnect false
		bool EnableVpnAzure false
		bool EnableVpnOverDns false
		bool EnableVpnOverIcmp false
	}
}
"""

# As PID 1 of its namespaces: private directories over the compiled-in ones.  /var/lib and /run are
# covered whole since the packages ship no softether directory in them to mount on.
_START = r"""
set -e
for place in /var/lib /var/log /run; do
  mount -t tmpfs -o mode=755 tmpfs $place
  mkdir $place/softether
  mount --bind "$1/$(basename $place)" $place/softether
done
resolv=$(readlink -m /etc/resolv.conf)  # perhaps a link into what has just been covered
[ -e "$resolv" ] || { mkdir -p "$(dirname "$resolv")"; touch "$resolv"; }
mount --bind "$1/resolv.conf" "$resolv"
exec "$2" execsvc
"""


class SoftEther(SiteGateway):
    """A running SoftEther.  Address, site and methods are those of every gateway of the lab.

    Settings: psk, users, pool (a /24), inside_address, dns (one or two), dns_mode, dns_records,
    mtu of its NAT, inside (its NAT hides the pool; without forwarding it is off), radius_silent,
    ipsec, l2tp (False ends both: they are one switch).
    """

    name = "softether"

    def __init__(self, config: GatewayConfig | None = None) -> None:
        super().__init__()
        self.config = config or GatewayConfig()
        self._daemon: Daemon | None = None
        self._dns: Daemon | None = None
        self._behind: list[Namespace] = []
        self._check(self.config)
        if not SERVER.exists():
            raise LabError(f"{SERVER} is missing (tests/lab/install.sh)")
        self._set_up("softether", "se")

    @staticmethod
    def _check(config: GatewayConfig) -> None:
        require_supported("SoftEther", config, SUPPORTED)
        if not set(config.ppp_auth) & {"pap", "mschapv2"}:
            # both are always on and cannot be switched off
            require_supported("SoftEther", config, SUPPORTED - {"ppp_auth"})
        inside = config.inside
        if inside and inside.forwarding == "prohibited":
            raise Unsupported("SoftEther cannot do: inside.forwarding='prohibited'")

    def _start(self) -> None:
        state = self.state.path
        for name in ("lib", "log", "run"):
            (state / name).mkdir(exist_ok=True)
        config = state / "lib" / "vpn_server.config"
        if not config.exists():
            config.write_text(_BASE.replace("\n", "\r\n"))
        (state / "resolv.conf").write_text(f"nameserver {GATEWAY_ADDRESS}\n")
        self._daemon = self.site.daemon(
            ["sh", "-c", _START, "softether", state, SERVER], state / "output.log"
        )
        self._configure(self.config, fresh=True)

    def _configure(self, config: GatewayConfig, *, fresh: bool) -> None:
        if self._dns is not None:
            self._dns.close()
            self._dns = None
        if config.dns_mode != "off":
            self._dns = self.site.daemon(
                ["python3", "-S", Path(__file__).with_name("dnsd.py"), GATEWAY_ADDRESS,
                 config.dns_mode, json.dumps({k: list(v) for k, v in config.dns_records.items()})],
                self.state.path / "dns.log",
            )  # fmt: skip
        commands = [] if fresh else [f"HubDelete {HUB}"]
        first, last = config.pool
        inside = config.inside_address
        dns = [*config.dns, "none", "none"]
        commands += [
            f"HubCreate {HUB} /PASSWORD:{ADMIN}",
            f"Hub {HUB}",
            "ExtOptionSet DisableKernelModeSecureNAT /VALUE:1",
            "ExtOptionSet DisableIpRawModeSecureNAT /VALUE:1",
            f"SecureNatHostSet /MAC:5E-00-00-00-00-01 /IP:{inside} /MASK:255.255.255.0",
            f"DhcpSet /START:{first} /END:{last} /MASK:255.255.255.0 /EXPIRE:7200 /GW:{inside} "
            f"/DNS:{dns[0]} /DNS2:{dns[1]} /DOMAIN:none /LOG:yes",
            f"NatSet /MTU:{config.mtu} /TCPTIMEOUT:1800 /UDPTIMEOUT:60 /LOG:yes",
            "SecureNatEnable",
        ]
        if config.inside is not None and config.inside.forwarding == "no":
            commands.append("NatDisable")
        if config.radius_silent:
            # an address at the site that nobody has: nothing answers
            commands.append("RadiusServerSet 10.91.2.77 /SECRET:radius-secret /RETRY_INTERVAL:1000")
        for user, password in config.users.items():
            commands.append(f"UserCreate {user} /GROUP:none /REALNAME:none /NOTE:none")
            if config.radius_silent:
                commands.append(f"UserRadiusSet {user} /ALIAS:none")
            else:
                commands.append(f"UserPasswordSet {user} /PASSWORD:{password}")
        up = config.ipsec and config.l2tp
        plain = config.l2tp and (config.plain_l2tp or not config.ipsec)
        commands.append(
            f"IPsecEnable /L2TP:{_word(up)} /L2TPRAW:{_word(plain)} /ETHERIP:no "
            f"/PSK:{config.psk} /DEFAULTHUB:{HUB}"
        )
        self._vpncmd(commands, fresh=fresh)
        self._make_inside(config)
        self.config = config
        if up:
            wait_for_ike(self.site, GATEWAY_ADDRESS, 20, self.log())

    def _make_inside(self, config: GatewayConfig) -> None:
        for namespace in self._behind:
            namespace.close()
        self._behind = []
        self.site.run(["sh", "-c", insidenet.CLEAN], check=False)
        if config.inside is not None:
            inner, host = self._behind = [Namespace("inner"), Namespace("host")]
            folder = str(self.state.path / "inside")
            lines = insidenet.script(config.inside, folder, (inner.name, host.name))
            self.site.run(["bash", "-c", lines])

    def _vpncmd(self, commands: list[str], *, fresh: bool) -> str:
        script = self.state.path / "commands"
        if fresh:
            commands = [*commands, f"ServerPasswordSet {ADMIN}"]
        script.write_text("\n".join(commands) + "\n")
        password = [] if fresh else [f"/PASSWORD:{ADMIN}"]
        end = time.monotonic() + 20
        while True:
            pid = self._daemon.pid if self._daemon else None
            if pid is None or not self._listening():
                if time.monotonic() > end or (self._daemon and not self._daemon.running):
                    raise LabError(f"SoftEther did not start\n{self.log()}")
                time.sleep(0.02)
                continue
            # in its mount namespace too: vpncmd writes into /var/lib/softether
            done = run(
                ["nsenter", "-t", str(pid), "-n", "-m", "vpncmd", "localhost:5555", "/SERVER",
                 *password, f"/IN:{script}"],
                check=False,
            )  # fmt: skip
            if done.returncode == 0 and "Error: " not in done.stdout:
                return done.stdout
            raise LabError(f"vpncmd: exit {done.returncode}\n{done.stdout[-3000:]}")

    def _listening(self) -> bool:
        return bool(self.site.run(["ss", "-Hlnt", "sport = :5555"]).stdout.strip())

    # the methods of every gateway

    def reconfigure(self, config: GatewayConfig) -> None:
        """Another configuration; the server starts anew, all sessions are forgotten."""
        self._check(config)
        self.config = config
        self.power_off()
        self.site.forget_paths()
        self.power_on()

    def log(self) -> str:
        """The server's and the hub's security log, and the DNS server's."""
        texts = []
        for file in sorted((self.state.path / "log").rglob("*.log")):
            texts.append(file.read_text(errors="replace"))
        for name in ("output.log", "dns.log"):
            file = self.state.path / name
            texts.append(file.read_text(errors="replace") if file.exists() else "")
        return "\n".join(texts)

    def _daemons_up(self) -> Iterable[Daemon]:
        return [self._daemon] if self._daemon else []

    def power_off(self) -> None:
        """End it at once, without a word to its peers.  ``power_on`` starts it again."""
        if self._daemon:
            self._daemon.close()
            self._daemon = None

    def power_on(self) -> None:
        """Start it again, with the same configuration and empty logs."""
        self.power_off()
        for name in ("lib", "log", "run"):
            shutil.rmtree(self.state.path / name, ignore_errors=True)
        self._start()

    def _close(self) -> None:
        for part in (self._daemon, self._dns, *self._behind):
            if part is not None:
                part.close()
        super()._close()


def _word(value: bool) -> str:
    return "yes" if value else "no"
