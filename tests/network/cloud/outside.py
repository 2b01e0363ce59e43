"""Somebody on the network outside: what he serves, and whom he reaches."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from testbed.ovn_guest import TestGuest

# Answers every request with its sender's address, and with a line too long for a few packets.
_SERVER = """
import http.server, sys
class Tell(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (self.client_address[0] + " " + 300_000 * "x").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer((sys.argv[1], 0), Tell)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextlib.contextmanager
def tells_addresses(outside: TestGuest, address: str) -> Iterator[str]:
    """The URL of a server that says who has asked, and 300,000 letters more."""
    command = ["ip", "netns", "exec", outside.namespace, sys.executable, "-c", _SERVER, address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout
        try:
            yield f"http://{address}:{server.stdout.readline().strip()}/"
        finally:
            server.kill()


def reached(outside: TestGuest, address: str, tcp_port: int) -> bool:
    """Whether somebody takes a connection there, and says something, within four seconds."""
    asking = f"import socket; assert socket.create_connection(({address!r}, {tcp_port}), 4).recv(4)"
    command = ["ip", "netns", "exec", outside.namespace, sys.executable, "-c", asking]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
