"""A DNS server for tests, standard library only (it also runs inside the User-Mode-Linux guests).

    dnsd.py ADDRESS MODE RECORDS      MODE: answer silent lying refused nxdomain servfail
                                      RECORDS: JSON {name: [IPv4 or IPv6 address, ...]}

"lying" answers every name, also one that does not exist, with 198.51.100.66.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import struct
import sys


def reply_to(query: bytes, mode: str, records: dict[str, list[str]]) -> bytes | None:
    end, labels = 12, []
    while query[end]:
        labels.append(query[end + 1 : end + 1 + query[end]].decode("ascii", "replace").lower())
        end += query[end] + 1
    question = query[12 : end + 5]
    (kind,) = struct.unpack("!H", query[end + 1 : end + 3])
    name = ".".join(labels)
    print("query", name, kind, flush=True)
    if mode == "silent":
        return None
    code, values = 0, records.get(name, [])
    if mode == "refused":
        code, values = 5, []
    elif mode == "servfail":
        code, values = 2, []
    elif mode == "nxdomain" or (mode == "answer" and name not in records):
        code, values = 3, []
    elif mode == "lying":
        values = ["198.51.100.66"]
    wanted = {1: 4, 28: 6}.get(kind, 0)
    found = [a for a in map(ipaddress.ip_address, values) if a.version == wanted]
    answers = b"".join(
        b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(a.packed)) + a.packed for a in found
    )
    flags = 0x8580 | code  # response, authoritative, recursion wanted and offered
    head = query[:2] + struct.pack("!HHHHH", flags, 1, len(found), 0, 0)
    return head + question + answers


def main() -> None:
    address, mode, records = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, 53))
    print("ready", flush=True)
    while True:
        query, peer = server.recvfrom(4096)
        try:
            reply = reply_to(query, mode, records)
        except (IndexError, struct.error):
            continue
        if reply is not None:
            server.sendto(reply, peer)


if __name__ == "__main__":
    main()
