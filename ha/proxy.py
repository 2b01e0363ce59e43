"""The HAProxy before the servers: deploy/haproxy's own configuration, at the addresses of this run."""

import re
from collections.abc import Sequence
from pathlib import Path

from ha.certificate import Certificate

SHIPPED = Path(__file__).resolve().parent.parent / "deploy" / "haproxy" / "haproxy.cfg"
_EXAMPLES = ("10.0.0.11", "10.0.0.12", "10.0.0.13")
_OF_A_MACHINE = re.compile(
    r"^ *(log /dev/log.*|log global|user .*|group .*|stats socket .*|option (http|tcp)log)\n", re.M
)


def write(folder: Path, address: str, servers: Sequence[str], certificate: Certificate) -> Path:
    """Write its configuration for three servers, given by their IP addresses; returns the file. It listens at 443."""
    chain = folder / "cloud.pem"
    chain.touch(0o600)
    chain.write_bytes(certificate.chain.read_bytes() + certificate.key.read_bytes())
    text = _OF_A_MACHINE.sub("", SHIPPED.read_text())
    for example, server in zip(_EXAMPLES, servers, strict=True):
        text = text.replace(f"{example}:", f"{server}:")
    # A user's processes may open fewer files than a machine that is HAProxy's alone.
    text = text.replace("maxconn 20000", "maxconn 500")
    text = text.replace("/etc/haproxy/cloud.pem", str(chain)).replace("/etc/haproxy/polyvisor", str(folder))
    text = text.replace("bind :", f"bind {address}:")
    made = folder / "haproxy.cfg"
    made.write_text(text)
    return made
