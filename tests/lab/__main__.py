"""``python -m tests.lab``: start a gateway or the Linux client by hand, or remove leftovers.

up softether|strongswan|libreswan|l2tpns|client [--nat] [--nat-gateway] [--mtu N [--no-icmp]]
clean [--all]
check
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from tests.lab.clean import clean_up
from tests.lab.config import LAB_PASSWORD, LAB_PSK, LAB_USER, GatewayConfig
from tests.lab.gateways import ALL_GATEWAYS, PLAIN_GATEWAYS, Gateway, missing_parts, start
from tests.lab.linuxclient import ClientConfig, LinuxClient
from tests.lab.netns import Network
from tests.lab.process import LabError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start one, say how to connect, stay until Ctrl-C")
    up.add_argument("what", choices=[*ALL_GATEWAYS, "client"])
    up.add_argument("--gateway", choices=ALL_GATEWAYS, default="strongswan",
                    help="with client: the gateway that it is to connect to")  # fmt: skip
    up.add_argument("--nat", action="store_true", help="masquerade the client")
    up.add_argument("--nat-gateway", action="store_true", help="the gateway behind a NAT")
    up.add_argument("--mtu", type=int, help="narrowest link on the way")
    up.add_argument("--no-icmp", action="store_true", help="with --mtu: a black hole")
    up.add_argument("--loss", type=float, default=0, help="per cent of packets lost, each way")
    up.add_argument("--plain-l2tp", action="store_true", help="no IPsec")
    up.add_argument("--psk", default=LAB_PSK)
    up.add_argument("--once", action="store_true", help="do not stay: start, say, stop")
    clean = commands.add_parser("clean", help="remove what killed runs left behind")
    clean.add_argument("--all", action="store_true", help="of living runs too")
    commands.add_parser("check", help="say what is missing here")
    args = parser.parse_args()
    try:
        if args.command == "clean":
            print("\n".join(clean_up(all_owners=args.all)) or "nothing to remove")
            return 0
        if args.command == "check":
            reason = missing_parts()
            print(reason or "the lab can run here")
            return 1 if reason else 0
        return _up(args)
    except LabError as error:
        print(f"tests.lab: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _up(args: argparse.Namespace) -> int:
    begun = time.monotonic()
    name = args.gateway if args.what == "client" else args.what
    args.plain_l2tp = args.plain_l2tp or name in PLAIN_GATEWAYS
    config = replace(GatewayConfig(), psk=args.psk, ipsec=not args.plain_l2tp)
    with (
        start(name, config) as gateway,
        gateway.network(
            nat_client=args.nat,
            nat_gateway=args.nat_gateway,
            mtu=args.mtu,
            mtu_icmp=not args.no_icmp,
        ) as network,
    ):
        if args.loss:
            network.loss(args.loss)
        print(f"{name} answers, {time.monotonic() - begun:.1f} s")
        if args.what == "client":
            with LinuxClient() as client:
                connect = replace(ClientConfig(), psk=args.psk, plain_l2tp=args.plain_l2tp)
                attempt = client.connect(network, connect)
                print(f"client: {attempt.stage} after {attempt.seconds:.1f} s, "
                      f"address {attempt.address}: {attempt.said}")  # fmt: skip
                _stay(args, gateway, network, client)
        else:
            _stay(args, gateway, network, None)
    return 0


def _stay(
    args: argparse.Namespace, gateway: Gateway, network: Network, client: LinuxClient | None
) -> None:
    vpndiag = Path(sys.executable).with_name("vpndiag")
    run = f"ip netns exec {network.client.name} "
    plain = " --plain-l2tp" if args.plain_l2tp else ""
    ike_only = (
        "" if args.plain_l2tp else f"""
IKE only:  {run}ike-scan -M --vendor=4a131c81070358455c5728f20e95452f --trans=7/256,2,1,14 \\
             {network.address}"""
    )  # fmt: skip
    port = 1701 if args.plain_l2tp else 4500
    print(f"""
connect:   {run}env VPNDIAG_PSK={shlex.quote(args.psk)} VPNDIAG_PASSWORD={LAB_PASSWORD} \\
             {vpndiag} run {network.address} --user {LAB_USER}{plain}{ike_only}
capture:   {run}tcpdump -ni eth0                       (the client)
           ip netns exec {network.router.name} tcpdump -ni gw    (the network, gateway side)
faults:    ip netns exec {network.router.name} nft add rule ip vd faults udp dport {port} drop
           ip netns exec {network.router.name} nft flush chain ip vd faults
inside:    gateway {gateway.config.inside_address}, DNS {", ".join(gateway.config.dns) or "none"}
""")
    if args.once:
        return
    print("Ctrl-C ends it.", flush=True)
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    try:
        done.wait()
    except KeyboardInterrupt:
        print()
    print(gateway.log() if "--log" in sys.argv else "", end="")
    if client is not None:
        client.disconnect()


if __name__ == "__main__":
    sys.exit(main())
