"""Configuration files for strongSwan, Libreswan, xl2tpd and pppd, from a GatewayConfig.

File names are relative to /run/lab of the guest, whose ``ppp`` is mounted over /etc/ppp.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.lab.config import Certificates, GatewayConfig
from tests.lab.process import Unsupported, run

STOP = """
killall -q -9 pppd xl2tpd charon pluto 2>/dev/null
for i in $(seq 10); do
  pidof charon pluto xl2tpd pppd >/dev/null || break
  sleep 0.05
done
ip -batch - <<E
xfrm state flush
xfrm policy flush
E
umount -q /usr/sbin/pppd
rm -f /run/charon.* /run/pluto/* /run/xl2tpd.pid /run/xl2tpd/* /run/log/*
rm -rf /run/lab/swanctl /run/lab/nss
"""

XL2TPD_START = """
setsid xl2tpd -D -c /run/lab/xl2tpd.conf -s /run/lab/l2tp-secrets -p /run/xl2tpd.pid \
  -C /run/xl2tpd/l2tp-control >/run/log/xl2tpd.log 2>&1 </dev/null &
"""

STRONGSWAN_START = """
export STRONGSWAN_CONF=/run/lab/strongswan.conf SWANCTL_DIR=/run/lab/swanctl
cd /run/lab/swanctl && mkdir -p x509 x509ca x509ocsp x509aa x509ac x509crl pubkey private rsa \
  ecdsa bliss pkcs8 pkcs12
setsid /usr/lib/ipsec/charon >/run/log/charon.out 2>&1 </dev/null &
for i in $(seq 1 200); do [ -S /run/charon.vici ] && break; sleep 0.05; done
swanctl --load-all >/run/log/swanctl.log 2>&1 || {
  cat /run/log/swanctl.log /run/log/charon.log
  exit 1
}
"""

CHARON_PLUGINS = (
    "random nonce aes aesni des sha1 sha2 md5 hmac gmp openssl kdf pem pkcs1 pkcs8 x509 pubkey "
    "constraints kernel-netlink socket-default vici updown"
)

IKE_PROPOSALS = (
    "aes256-sha256-modp2048", "aes256-sha1-modp2048", "aes128-sha1-modp2048",
    "aes256-sha1-modp1024", "aes128-sha1-modp1024", "3des-sha1-modp1024",
)  # fmt: skip
ESP_PROPOSALS = ("aes256-sha1", "aes128-sha1", "aes256-sha256", "aes128-sha256", "3des-sha1")


def charon_conf(log: str = "/run/log/charon.log", *, ike_level: int = 1) -> str:
    return f"""charon {{
  load = {CHARON_PLUGINS}
  filelog {{
    lab {{
      path = {log}
      time_format = %H:%M:%S
      flush_line = yes
      default = 1
      ike = {ike_level}
      cfg = 1
    }}
  }}
}}
swanctl {{
  load = pem pkcs1 pkcs8 x509 pubkey openssl random
}}
"""


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def strongswan_files(config: GatewayConfig, address: str) -> dict[str, str | bytes]:
    auth = "psk" if config.ike_auth == "psk" else "pubkey"
    ike = ",".join(config.ike_proposals or IKE_PROPOSALS)
    esp = ",".join(config.esp_proposals or ESP_PROPOSALS)
    files: dict[str, str | bytes] = {"strongswan.conf": charon_conf()}
    certs = ""
    if config.ike_auth == "certificate":
        bundle = _certificates(config)
        files["swanctl/x509/gateway.pem"] = bundle.certificate
        files["swanctl/private/gateway.pem"] = bundle.key
        files["swanctl/x509ca/authority.pem"] = bundle.authority
        if bundle.intermediate:
            files["swanctl/x509ca/intermediate.pem"] = bundle.intermediate
        certs = "certs = gateway.pem"
    extra = "\n    ".join(config.ike_options)
    local_id = f"id = {config.local_id}" if config.local_id else ""
    remote_id = f"id = {config.remote_id}" if config.remote_id else ""
    files["swanctl/swanctl.conf"] = f"""connections {{
  lab {{
    version = {1 if config.ikev1 else 2}
    local_addrs = {address}
    proposals = {ike}
    aggressive = {"yes" if config.aggressive else "no"}
    encap = {"yes" if config.force_encapsulation else "no"}
    unique = never
    send_cert = always
    rekey_time = 8h
    dpd_delay = 30s
    {extra}
    local {{
      auth = {auth}
      {certs}
      {local_id}
    }}
    remote {{
      auth = {auth}
      {remote_id}
    }}
    children {{
      lab {{
        mode = transport
        local_ts = dynamic[udp/1701]
        remote_ts = dynamic[udp]
        esp_proposals = {esp}
        sha256_96 = {"yes" if config.sha256_truncated else "no"}
        rekey_time = 0
        dpd_action = clear
      }}
    }}
  }}
}}
secrets {{
  ike-lab {{
    secret = {quoted(config.psk)}
  }}
}}
"""
    return files


# strongSwan's words for algorithms, in Libreswan's
_LIBRESWAN = {"sha256": "sha2_256", "sha512": "sha2_512", "sha384": "sha2_384"}


def _libreswan_proposal(text: str) -> str:
    parts = [_LIBRESWAN.get(part, part) for part in text.split("-")]
    group = parts.pop() if parts[-1].startswith(("modp", "ecp")) else ""
    group = {"ecp256": "dh19", "ecp384": "dh20"}.get(group, group)
    return "-".join(parts) + (f";{group}" if group else "")


def libreswan_files(config: GatewayConfig, address: str) -> dict[str, str | bytes]:
    if any("modp1024" in text or "modp768" in text for text in config.ike_proposals):
        raise Unsupported("Libreswan 4 is built without MODP 1024")
    default = [text for text in IKE_PROPOSALS if "modp1024" not in text]
    ike = ",".join(_libreswan_proposal(t) for t in config.ike_proposals or default)
    esp = ",".join(_libreswan_proposal(t) for t in config.esp_proposals or ESP_PROPOSALS)
    pfs = any("modp" in text for text in config.esp_proposals)
    files: dict[str, str | bytes] = {}
    certs = ""
    if config.ike_auth == "certificate":
        for name, content in nss_database(_certificates(config)).items():
            files[f"nss/{name}"] = content
        certs = "leftcert=lab\n    leftsendcert=always\n    rightca=%any"
    extra = "\n    ".join(config.ike_options)
    identity = f"leftid={config.local_id}" if config.local_id else ""
    theirs = f"rightid={config.remote_id}" if config.remote_id else ""
    if config.ike_auth == "certificate":
        identity = identity or "leftid=%fromcert"
        theirs = theirs or "rightid=%fromcert"
    lines = f"""config setup
    ikev1-policy={"accept" if config.ikev1 else "drop"}
    virtual-private=%v4:10.0.0.0/8,%v4:192.168.0.0/16,%v4:172.16.0.0/12
    uniqueids=no

conn lab
    authby={"secret" if config.ike_auth == "psk" else "rsasig"}
    ikev2={"no" if config.ikev1 else "insist"}
    auto=add
    left={address}
    leftprotoport=17/1701
    {identity}
    {certs}
    right=%any
    rightprotoport=17/%any
    {theirs}
    type=transport
    pfs={"yes" if pfs else "no"}
    rekey=no
    leftupdown=%disabled
    ikelifetime=8h
    salifetime=1h
    dpddelay=30
    dpdtimeout=120
    dpdaction=clear
    encapsulation={"yes" if config.force_encapsulation else "auto"}
    sha2-truncbug={"yes" if config.sha256_truncated else "no"}
    ike={ike}
    phase2alg={esp}
    {extra}
"""
    # ipsec.conf takes a line of nothing but blanks as the end of a section
    files["ipsec.conf"] = (
        "\n".join(line for line in lines.splitlines() if line.strip() or line == "") + "\n"
    )
    files["ipsec.secrets"] = f'{address} %any : PSK "{config.psk}"\n'
    return files


def libreswan_start(root: Path) -> str:
    """Libreswan runs from where it was unpacked: its package conflicts with strongSwan's."""
    tools = root / "usr/libexec/ipsec"
    return f"""
mountpoint -q /usr/libexec || mount --bind {root}/usr/libexec /usr/libexec
mkdir -p /run/lab/nss /run/pluto/d
[ -e /run/lab/nss/cert9.db ] || certutil -N -d sql:/run/lab/nss --empty-password
setsid {tools}/pluto --nofork --stderrlog --config /run/lab/ipsec.conf \\
  --secretsfile /run/lab/ipsec.secrets --nssdir /run/lab/nss --rundir /run/pluto \\
  --ipsecdir /run/pluto/d --no-dnssec --use-xfrm >/run/log/pluto.log 2>&1 </dev/null &
for i in $(seq 1 200); do [ -S /run/pluto/pluto.ctl ] && break; sleep 0.05; done
{tools}/addconn --ctlsocket /run/pluto/pluto.ctl --config /run/lab/ipsec.conf lab || {{
  cat /run/log/pluto.log
  exit 1
}}
{tools}/whack --ctlsocket /run/pluto/pluto.ctl --listen >/dev/null
"""


def common_files(config: GatewayConfig) -> dict[str, str]:
    """xl2tpd and pppd."""
    first, last = config.pool
    secrets = "".join(f"{quoted(u)} * {quoted(p)} *\n" for u, p in config.users.items())
    challenge = "challenge = yes" if config.l2tp_secret else ""
    return {
        "l2tp-secrets": f"* * {config.l2tp_secret}\n" if config.l2tp_secret else "",
        "xl2tpd.conf": f"""[global]
port = 1701
auth file = /run/lab/l2tp-secrets
debug tunnel = yes
debug state = yes
[lns default]
ip range = {first}-{last}
local ip = {config.inside_address}
require authentication = yes
name = vpn-gateway
ppp debug = yes
pppoptfile = /run/lab/options.lns
length bit = yes
{challenge}
""",
        "options.lns": pppd_options(config),
        "ppp/options": "",
        "ppp/chap-secrets": secrets,
        "ppp/pap-secrets": secrets,
        "radius/radiusclient.conf": """auth_order radius
login_tries 4
login_timeout 60
nologin /etc/nologin
issue /dev/null
authserver 10.91.2.77
acctserver 10.91.2.77
servers /run/lab/radius/servers
dictionary /run/lab/radius/dictionary
login_radius /bin/false
seqfile /run/radius.seq
mapfile /run/lab/radius/port-id-map
default_realm
radius_timeout 10
radius_retries 3
""",
        "radius/servers": "10.91.2.77 radius-secret\n",
        "radius/port-id-map": "",
        "radius/dictionary": _DICTIONARY,
    }


def pppd_options(config: GatewayConfig) -> str:
    names = {
        "pap": "pap", "chap": "chap", "mschap": "mschap", "mschapv2": "mschap-v2", "eap": "eap",
    }  # fmt: skip
    lines = ["ipcp-accept-local", "ipcp-accept-remote", "auth"]
    lines += [
        ("require-" if method in config.ppp_auth else "refuse-") + word
        for method, word in names.items()
    ]
    lines += [f"ms-dns {server}" for server in config.dns]
    lines += ["require-mppe-128", "nomppe-stateful"] if config.mppe else ["noccp"]
    lines += [f"mtu {config.mtu}", f"mru {config.mtu}", "nodefaultroute", "noipv6"]
    lines += ["debug", "logfile /run/log/pppd.log", "lcp-echo-interval 30", "lcp-echo-failure 4"]
    if config.radius_silent:
        lines += ["plugin radius.so", "radius-config-file /run/lab/radius/radiusclient.conf"]
    lines += config.ppp_options
    return "\n".join(lines) + "\n"


def _certificates(config: GatewayConfig) -> Certificates:
    if config.certificates is None:
        raise Unsupported("ike_auth 'certificate' needs certificates")
    return config.certificates


def nss_database(bundle: Certificates) -> dict[str, bytes]:
    """The files of an NSS database with the certificate as ``lab`` and its authority trusted."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = f"sql:{folder}/nss"
        (folder / "nss").mkdir()
        for file, text in (("c", bundle.certificate), ("k", bundle.key), ("a", bundle.authority),
                           ("i", bundle.intermediate)):  # fmt: skip
            (folder / file).write_text(text)
        run(["certutil", "-N", "-d", database, "--empty-password"])
        run(["certutil", "-A", "-d", database, "-n", "authority", "-t", "CT,,", "-a", "-i",
             folder / "a"])  # fmt: skip
        if bundle.intermediate:
            run(["certutil", "-A", "-d", database, "-n", "between", "-t", ",,", "-a", "-i",
                 folder / "i"])  # fmt: skip
        run(["openssl", "pkcs12", "-export", "-in", folder / "c", "-inkey", folder / "k",
             "-name", "lab", "-passout", "pass:lab", "-out", folder / "p12"])  # fmt: skip
        run(["pk12util", "-i", folder / "p12", "-d", database, "-W", "lab", "-K", ""])
        return {file.name: file.read_bytes() for file in (folder / "nss").iterdir()}


# RFC 2865 and 2866: what pppd's plugin looks up, or it refuses the user without asking anybody
_DICTIONARY = "".join(
    f"ATTRIBUTE {line}\n"
    for line in """User-Name 1 string
Password 2 string
CHAP-Password 3 string
NAS-IP-Address 4 ipaddr
NAS-Port-Id 5 integer
Service-Type 6 integer
Framed-Protocol 7 integer
Framed-IP-Address 8 ipaddr
Framed-IP-Netmask 9 ipaddr
Framed-Routing 10 integer
Filter-Id 11 string
Framed-MTU 12 integer
Framed-Compression 13 integer
Reply-Message 18 string
State 24 string
Class 25 string
Session-Timeout 27 integer
Idle-Timeout 28 integer
Called-Station-Id 30 string
Calling-Station-Id 31 string
NAS-Identifier 32 string
Acct-Status-Type 40 integer
Acct-Delay-Time 41 integer
Acct-Input-Octets 42 integer
Acct-Output-Octets 43 integer
Acct-Session-Id 44 string
Acct-Authentic 45 integer
Acct-Session-Time 46 integer
Acct-Terminate-Cause 49 integer
CHAP-Challenge 60 string
NAS-Port-Type 61 integer
Connect-Info 77 string""".splitlines()
)
