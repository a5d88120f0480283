"""A real Linux client: strongSwan, xl2tpd and pppd on a kernel of their own.

It checks gateways, the project's embedded one among them, from the other side, and says what people
see today: how long it tries, and what it says when it gives up.  Timers are the programs' own
(strongSwan gives up an unanswered message after 165 s, xl2tpd after about 30 s, pppd after 30 s).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tests.lab import linuxconf
from tests.lab.config import LAB_PASSWORD, LAB_PSK, LAB_USER, Certificates
from tests.lab.netns import Network, Site
from tests.lab.process import LabError, Owned
from tests.lab.uml import Machine

Stage = Literal["ike", "ipsec", "l2tp", "ppp", "up"]


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """How to connect.  Proposals in strongSwan's words, as in GatewayConfig."""

    psk: str = LAB_PSK
    user: str = LAB_USER
    password: str = LAB_PASSWORD
    ike_proposals: tuple[str, ...] = ("aes256-sha1-modp2048", "aes128-sha1-modp1024")
    esp_proposals: tuple[str, ...] = ("aes256-sha1", "aes128-sha1")
    certificates: Certificates | None = None
    """Given: authenticate with them instead of the pre-shared key."""
    local_id: str | None = None
    remote_id: str | None = None
    aggressive: bool = False
    force_encapsulation: bool = False
    plain_l2tp: bool = False
    l2tp_secret: str | None = None
    ppp_options: tuple[str, ...] = ("refuse-eap",)
    """pppd's EAP offers no MS-CHAPv2 to SoftEther, so clients are set up without it."""
    mtu: int = 1400


@dataclass(frozen=True, slots=True)
class Attempt:
    """How a connection attempt ended; ``stage`` is the one it failed in, or "up"."""

    stage: Stage
    seconds: float
    address: str | None
    dns: tuple[str, ...]
    said: str
    """What a person would have seen: the last words of the program that gave up."""
    gave_up: bool
    """False when it was still trying at the limit."""
    log: str

    @property
    def up(self) -> bool:
        return self.stage == "up"


class LinuxClient(Owned):
    """A booted client machine, to be joined to one network after another."""

    def __init__(self) -> None:
        super().__init__()
        self._network: Network | None = None
        try:
            self.site = Site("cl", own_address=False)
            self.site.ip("addr flush dev br0")
            self.site.add_tap("tap0")
            self.machine = Machine(self.site, "tap0", "laptop")
        except BaseException:
            self.close()
            raise

    def join(self, network: Network) -> None:
        """Plug the machine into a network, as one more of its clients."""
        if self._network is network:
            return
        prefix = network.join(self.site)
        self.machine.sh(
            "ip addr flush dev vec0; ip -batch - <<E\n"
            f"addr add {prefix}.2/24 dev vec0\nlink set vec0 up\n"
            f"route replace default via {prefix}.1\nE\n"
            "ethtool -K vec0 tx off tso off gro off\n"
            "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6"
        )
        self._network = network

    def connect(
        self,
        network: Network,
        config: ClientConfig | None = None,
        *,
        address: str | None = None,
        limit: float = 60,
    ) -> Attempt:
        """Connect to the network's gateway (or ``address``), for at most ``limit`` seconds."""
        config = config or ClientConfig()
        if self._network is network:
            self.disconnect()  # as a person does before trying again
        self.join(network)
        gateway = address or network.address
        self.machine.sh(_START, files=_files(config, gateway), before=linuxconf.STOP)
        if not config.plain_l2tp:
            self.machine.sh(linuxconf.STRONGSWAN_START)
        done = self.machine.sh(
            _CONNECT.format(limit=int(limit), ipsec=int(not config.plain_l2tp)), check=False,
            timeout=limit + 30,
        )  # fmt: skip
        return self._attempt(done.output)

    def _attempt(self, output: str) -> Attempt:
        facts = dict(re.findall(r"^VD-(\w+)=(.*)$", output, re.M))
        log = self.log()
        charon = "".join(re.findall(r"^==> /run/log/charon.log.*?(?=^==> |\Z)", log, re.M | re.S))
        stage: Stage
        if facts.get("address"):
            stage = "up"
        elif facts.get("ipsec", "0") != "0":
            stage = "ipsec" if "IKE_SA lab[" in charon and "] established" in charon else "ike"
        else:
            pppd = "/run/log/pppd.log <==" in log and "sent [LCP" in log
            stage = "ppp" if pppd else "l2tp"
        return Attempt(
            stage=stage,
            seconds=float(facts.get("seconds", "0") or 0) / 1000,
            address=facts.get("address") or None,
            dns=tuple(dict.fromkeys(facts.get("dns", "").split())),
            said=_last_words(stage, output, log),
            gave_up=facts.get("timeout") != "1",
            log=log,
        )

    def ping(self, address: str, *, size: int = 56, fragment: bool = True, tries: int = 3) -> bool:
        """Whether an address answers through the tunnel."""
        option = "" if fragment else "-M do"
        done = self.machine.sh(
            f"ping -c 1 -W 2 -s {size} {option} {address} || ping -c {tries} -i 0.3 -W 2 "
            f"-s {size} {option} {address}", check=False)  # fmt: skip
        return done.code == 0

    def disconnect(self) -> None:
        """Hang up in good order: LCP and L2TP first, then IPsec."""
        self.machine.sh(
            "killall -q -TERM pppd\n"
            "for i in $(seq 20); do [ -e /sys/class/net/ppp0 ] || break; sleep 0.1; done\n"
            "echo 'd vpn' >/run/xl2tpd/l2tp-control; sleep 0.1\n"
            "STRONGSWAN_CONF=/run/lab/strongswan.conf swanctl --terminate --ike lab --timeout 5\n"
            "true",
            timeout=30,
        )

    def log(self) -> str:
        try:
            return self.machine.sh("tail -n +1 /run/log/*", check=False, timeout=10).output
        except LabError:
            return self.machine.console()

    def _close(self) -> None:
        for name in ("machine", "site"):
            if hasattr(self, name):
                getattr(self, name).close()


_START = (
    linuxconf.XL2TPD_START
    + """
for i in $(seq 100); do [ -p /run/xl2tpd/l2tp-control ] && break; sleep 0.05; done
"""
)

_CONNECT = """
now() {{ local s; read -r s _ </proc/uptime; echo $((10#${{s%.*}} * 1000 + 10#${{s#*.}} * 10)); }}
begun=$(now); rc=0
if [ {ipsec} = 1 ]; then
  export STRONGSWAN_CONF=/run/lab/strongswan.conf
  timeout {limit} swanctl --initiate --child lab >/run/log/initiate.log 2>&1; rc=$?
  tail -6 /run/log/initiate.log
fi
echo "VD-ipsec=$rc"
[ $rc = 124 ] && echo VD-timeout=1
if [ $rc = 0 ]; then
  echo 'c vpn' >/run/xl2tpd/l2tp-control
  address=
  while :; do
    address=$(ip -4 -o addr show dev ppp0 2>/dev/null | sed -n 's/.*inet \\([0-9.]*\\).*/\\1/p')
    [ -n "$address" ] && break
    grep -qsE 'Connection terminated|Exit\\.|authentication failed' /run/log/pppd.log && break
    grep -qE 'Maximum retries exceeded|Call .* failed|will not|Connection closed|hanging up' \\
      /run/log/xl2tpd.log && {{ sleep 0.3; break; }}
    [ $(($(now) - begun)) -gt $(({limit} * 1000)) ] && {{ echo VD-timeout=1; break; }}
    sleep 0.1
  done
  echo "VD-address=$address"
  echo "VD-dns=$(sed -n 's/.*DNS address //p' /run/log/pppd.log 2>/dev/null | tr '\\n' ' ')"
fi
echo "VD-seconds=$(($(now) - begun))"
"""


def _files(config: ClientConfig, gateway: str) -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {
        "strongswan.conf": linuxconf.charon_conf(),
        "l2tp-secrets": f"* * {config.l2tp_secret}\n" if config.l2tp_secret else "",
        "xl2tpd.conf": f"""[global]
port = 1701
auth file = /run/lab/l2tp-secrets
debug tunnel = yes
debug state = yes
[lac vpn]
lns = {gateway}
ppp debug = yes
pppoptfile = /run/lab/options.client
length bit = yes
{"challenge = yes" if config.l2tp_secret else ""}
""",
        "ppp/options": "",
        "options.client": "\n".join(
            ["ipcp-accept-local", "ipcp-accept-remote", "noauth", "noccp", "noipdefault", "noipv6",
             "usepeerdns", "nodefaultroute", f"mtu {config.mtu}", f"mru {config.mtu}", "debug",
             "logfile /run/log/pppd.log", f"name {linuxconf.quoted(config.user)}",
             f"password {linuxconf.quoted(config.password)}", *config.ppp_options, ""]
        ),
    }  # fmt: skip
    certificates = ""
    if config.certificates:
        files["swanctl/x509/client.pem"] = config.certificates.certificate
        files["swanctl/private/client.pem"] = config.certificates.key
        files["swanctl/x509ca/authority.pem"] = config.certificates.authority
        if config.certificates.intermediate:
            files["swanctl/x509ca/intermediate.pem"] = config.certificates.intermediate
        certificates = "certs = client.pem"
    auth = "pubkey" if config.certificates else "psk"
    files["swanctl/swanctl.conf"] = f"""connections {{
  lab {{
    version = 1
    remote_addrs = {gateway}
    proposals = {",".join(config.ike_proposals)}
    aggressive = {"yes" if config.aggressive else "no"}
    encap = {"yes" if config.force_encapsulation else "no"}
    keyingtries = 1
    send_cert = always
    local {{
      auth = {auth}
      {certificates}
      {f"id = {config.local_id}" if config.local_id else ""}
    }}
    remote {{
      auth = {auth}
      {f"id = {config.remote_id}" if config.remote_id else "id = %any"}
    }}
    children {{
      lab {{
        mode = transport
        local_ts = dynamic[udp/1701]
        remote_ts = dynamic[udp/1701]
        esp_proposals = {",".join(config.esp_proposals)}
      }}
    }}
  }}
}}
secrets {{
  ike-lab {{
    secret = {linuxconf.quoted(config.psk)}
  }}
}}
"""
    return files


_CHATTER = ("sent ", "rcvd ", "using channel", "Using interface", "Connect:", "Overriding ",
            "Script ", "Plugin ", "RADIUS plugin", "PPPoL2TP options",
            "Terminating on signal")  # fmt: skip
"""What pppd writes when nothing is wrong."""
_GOODBYE = ("Connection terminated.", "Modem hangup", "Exit.")
"""How it ends whatever the reason, which stands above if it is known."""
_PACKETS = ("VD-", "[NET]", "[ENC]", "[IKE] sending DELETE")


def _last_words(stage: Stage, output: str, log: str) -> str:
    if stage in ("ike", "ipsec"):
        lines = [line for line in output.splitlines() if line and not line.startswith(_PACKETS)]
        if lines:
            return lines[-1]
    name = {
        "ike": "charon.log",
        "ipsec": "charon.log",
        "l2tp": "xl2tpd.log",
        "ppp": "pppd.log",
        "up": "pppd.log",
    }[stage]
    found = re.search(rf"^==> /run/log/{name} <==\n(.*?)(?=^==> |\Z)", log, re.M | re.S)
    words = [line for line in (found[1] if found else "").splitlines() if line.strip()]
    if stage == "ppp":  # the protocol's trace is not what people read
        words = [line for line in words if not line.startswith(_CHATTER)]
        if not words:
            return _last_words("l2tp", output, log)
        words = [line for line in words if line not in _GOODBYE] or words
    return words[-1] if words else ""
