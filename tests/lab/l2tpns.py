"""l2tpns with FreeRADIUS: plain L2TP, without IPsec, and users that a RADIUS server knows.

Two processes in the site's namespace, beside the DNS server for what is inside.  l2tpns reads its
files from compiled-in places; it gets private ones in its own mount namespace.  FreeRADIUS gets a
configuration of a few lines, all of it made here.

What one has to know of l2tpns: it says nothing on UDP 1701 until it has elected itself master of
its cluster (15 s, unless told to hurry); it ends its whole process group on SIGTERM; it never asks
for a tunnel secret, and answers whoever asks; it knows PAP and CHAP with MD5, and repeats its
request for ever when these are refused.
"""

from __future__ import annotations

import ipaddress
import json
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tests.lab.config import GatewayConfig, require_supported
from tests.lab.ikeprobe import ask_l2tp
from tests.lab.netns import GATEWAY_ADDRESS
from tests.lab.process import Daemon, LabError
from tests.lab.sitegw import SiteGateway

SERVER = Path("/usr/sbin/l2tpns")
RADIUS = Path("/usr/sbin/freeradius")
SUPPORTED = frozenset(
    {"ipsec", "plain_l2tp", "users", "pool", "inside_address", "dns", "dns_mode", "dns_records",
     "mtu", "l2tp", "l2tp_secret", "ppp_auth", "radius_silent", "radius_secret_wrong"}
)  # fmt: skip
_RADIUS_SECRET = "lab-radius"
_HEADERS = 40  # what l2tpns takes off l2tp_mtu for IP, UDP, L2TP and PPP; MRU is what is left

# As PID 1 of its namespaces
_START = 'mount --bind "$1" /etc/l2tpns && exec "$2"'


class L2tpns(SiteGateway):
    """A running l2tpns.  Address, site and methods are those of every gateway of the lab.

    Settings: users, pool, inside_address, dns (at most two), dns_mode, dns_records, mtu, l2tp,
    l2tp_secret, ppp_auth (of "pap" and "chap"), radius_silent, radius_secret_wrong.
    """

    name = "l2tpns"

    def __init__(self, config: GatewayConfig | None = None) -> None:
        super().__init__()
        self.config = config or GatewayConfig(ipsec=False, ppp_auth=("chap", "pap"))
        self._daemons: dict[str, Daemon] = {}
        self._check(self.config)
        for program in (SERVER, RADIUS):
            if not program.exists():
                raise LabError(f"{program} is missing (tests/lab/install.sh)")
        self._set_up("l2tpns", "ln")

    @staticmethod
    def _check(config: GatewayConfig) -> None:
        require_supported("l2tpns", config, SUPPORTED)
        if config.ipsec or not set(config.ppp_auth) <= {"pap", "chap"}:
            require_supported("l2tpns", config, SUPPORTED - {"ppp_auth"})
            raise LabError("l2tpns has no IPsec: for_gateway() says so")

    def _start(self) -> None:
        config, state = self.config, self.state.path
        for folder, files in (("etc", _l2tpns_files(config, state)), ("radius", _radius(config))):
            shutil.rmtree(state / folder, ignore_errors=True)
            (state / folder).mkdir()
            for name, text in files.items():
                (state / folder / name).write_text(text)
        for log in state.glob("*.log"):
            log.unlink()
        if not config.radius_silent:
            self._daemon("freeradius", [RADIUS, "-f", "-l", "stdout", "-d", state / "radius"])
            self._wait("freeradius", lambda: self._listens(1812))
        if not config.l2tp:
            return
        self._daemon("l2tpns", ["sh", "-c", _START, "l2tpns", state / "etc", SERVER])
        if not ask_l2tp(self.site, GATEWAY_ADDRESS, timeout=30):
            raise LabError(f"l2tpns did not answer\n{self.log()}")
        # l2tpns sets routes for whole networks of its pool only
        inside = ipaddress.ip_network(f"{config.pool[0]}/24", strict=False)
        self.site.ip(f"route replace {inside} dev tun0 src {config.inside_address}")
        self.site.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
        if config.dns_mode != "off":
            # on every address: those that are pushed lie on the tunnel's device
            for server in dict.fromkeys(config.dns):
                self.site.ip(f"addr replace {server}/32 dev lo")
            records = json.dumps({k: list(v) for k, v in config.dns_records.items()})
            program = Path(__file__).with_name("dnsd.py")
            self._daemon(
                "dns", [sys.executable, "-S", program, "0.0.0.0", config.dns_mode, records]
            )
            self._wait("dns", lambda: "ready" in self._daemons["dns"].log())

    def _daemon(self, name: str, argv: list[str | Path]) -> None:
        self._daemons[name] = self.site.daemon(argv, self.state.path / f"{name}.log")

    def _listens(self, port: int) -> bool:
        return bool(self.site.run(["ss", "-Hlnu", f"sport = :{port}"]).stdout.strip())

    def _wait(self, name: str, ready) -> None:  # type: ignore[no-untyped-def]
        end = time.monotonic() + 30
        while not ready():
            if time.monotonic() > end or not self._daemons[name].running:
                raise LabError(f"{name} did not start\n{self.log()}")
            time.sleep(0.02)

    # the methods of every gateway

    def reconfigure(self, config: GatewayConfig) -> None:
        """Another configuration; everything starts anew, all sessions are forgotten."""
        self._check(config)
        self.config = config
        self.site.forget_paths()
        self.power_on()

    def log(self) -> str:
        """What l2tpns, FreeRADIUS and the DNS server wrote."""
        logs = sorted(self.state.path.glob("*.log"))
        return "\n".join(f"==> {f.name} <==\n{f.read_text(errors='replace')}" for f in logs)

    def stop_radius(self) -> None:
        """End FreeRADIUS: its port is closed."""
        if radius := self._daemons.pop("freeradius", None):
            radius.close()

    def stop_l2tp(self) -> None:
        """End l2tpns without a word to its peers."""
        if server := self._daemons.pop("l2tpns", None):
            server.close()

    def _daemons_up(self) -> Iterable[Daemon]:
        return self._daemons.values()

    def power_off(self) -> None:
        """End it at once, without a word to its peers.  ``power_on`` starts it again."""
        while self._daemons:
            self._daemons.popitem()[1].close()

    def power_on(self) -> None:
        """Start it again, with the same configuration and empty logs."""
        self.power_off()
        self._start()

    def _close(self) -> None:
        self.power_off()
        super()._close()


def _l2tpns_files(config: GatewayConfig, state: Path) -> dict[str, str]:
    first, last = (int(ipaddress.IPv4Address(address)) for address in config.pool)
    pool = "".join(f"{ipaddress.IPv4Address(n)}\n" for n in range(first, last + 1))
    servers = [*config.dns[:2], "0.0.0.0", "0.0.0.0"][:2]
    secret = f'set l2tp_secret "{config.l2tp_secret}"\n' if config.l2tp_secret else ""
    return {
        "ip_pool": pool,
        "users": "admin:\n",
        "startup-config": f"""set debug 3
set log_file "{state}/l2tpns-own.log"
set pid_file "{state}/l2tpns.pid"
set hostname "lab-lns"
{secret}set primary_dns {servers[0]}
set secondary_dns {servers[1]}
set primary_radius 127.0.0.1
set primary_radius_port 1812
set radius_secret "{_RADIUS_SECRET}"
set radius_authtypes "{",".join(config.ppp_auth)}"
set radius_accounting no
set allow_duplicate_users yes
set bind_address {GATEWAY_ADDRESS}
set iftun_address {config.inside_address}
set peer_address {config.inside_address}
set l2tp_mtu {config.mtu + _HEADERS - 2}
set cli_bind_address 127.0.0.1
set cluster_interface br0
set cluster_hb_interval 2
set cluster_hb_timeout 5
""",
    }


def _radius(config: GatewayConfig) -> dict[str, str]:
    secret = "another-secret" if config.radius_secret_wrong else _RADIUS_SECRET
    users = "".join(f'"{u}" Cleartext-Password := "{p}"\n\n' for u, p in config.users.items())
    return {
        "dictionary": "",
        "users": users,
        "radiusd.conf": f"""name = freeradius
prefix = /usr
libdir = /usr/lib/freeradius
run_dir = ${{confdir}}
pidfile = ${{confdir}}/freeradius.pid
max_request_time = 30
security {{
  reject_delay = 1
  status_server = no
}}
thread pool {{
  start_servers = 1
  min_spare_servers = 1
  max_spare_servers = 3
  max_servers = 4
}}
log {{
  auth = yes
}}
client lns {{
  ipaddr = 127.0.0.1
  secret = {secret}
  require_message_authenticator = no
}}
modules {{
  pap {{
  }}
  chap {{
  }}
  files {{
    filename = ${{confdir}}/users
  }}
}}
server default {{
  listen {{
    type = auth
    ipaddr = 127.0.0.1
    port = 1812
  }}
  authorize {{
    chap
    files
    pap
  }}
  authenticate {{
    Auth-Type PAP {{
      pap
    }}
    Auth-Type CHAP {{
      chap
    }}
  }}
}}
""",
    }
