"""The applications of the host behind a gateway, standard library only (it runs in guests).

    hostd.py PORTS      JSON {port: mode}; certificates are read from hostd.pem beside this file

Modes: "http" answers any request; "tls" makes a TLS handshake (OpenSSL) and waits; "mute" takes the
connection and what comes, and says nothing; "reset" cuts the connection at the first bytes; "close"
ends it. Where nothing shall answer at all, a filter is put before the host instead.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import sys
import threading
from pathlib import Path

PAGE = b"HTTP/1.1 200 OK\r\nServer: lab\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def talk(peer: socket.socket, mode: str, context: ssl.SSLContext | None) -> None:
    try:
        if mode == "tls":
            assert context is not None
            peer = context.wrap_socket(peer, server_side=True)
        peer.recv(65536)
        if mode == "http":
            peer.sendall(PAGE)
        elif mode == "reset":
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif mode != "close":
            while peer.recv(65536):
                pass
    except OSError:
        pass
    finally:
        peer.close()


def serve(port: int, mode: str, context: ssl.SSLContext | None) -> None:
    server = socket.create_server(("", port))
    print("listens", port, mode, flush=True)
    while True:
        peer, _ = server.accept()
        threading.Thread(target=talk, args=(peer, mode, context), daemon=True).start()


def main() -> None:
    ports = {int(port): mode for port, mode in json.loads(sys.argv[1]).items()}
    context = None
    if "tls" in ports.values():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(Path(__file__).with_name("hostd.pem"))
    threads = [
        threading.Thread(target=serve, args=(port, mode, context)) for port, mode in ports.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
