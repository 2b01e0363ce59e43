"""What guests ask about themselves, as it passes between the host that hears it and the server that answers."""

from polyvisor.model.record import Told

ADDRESS = "169.254.169.254"
"""Where guests ask by IPv4, since Amazon's EC2."""
ADDRESS_6 = "fe80::a9fe:a9fe"
"""Where they ask by IPv6, on their own link."""
PORT = 80
LARGEST_PASSWORD_BYTES = 1020
"""Of what a guest posts as its password, encrypted by its owner's key: Nova's bound."""
LARGEST_PATH = 1024


class MetadataPort(Told):
    """A network of which a host has guests, and the port at which its metadata service answers there."""

    network_id: str
    port_id: str
    """Of the owner network:distributed."""
    mac_address: str
    mtu: int
    addresses: tuple[str, ...]
    """With their prefix: "10.0.0.2/24"."""


class MetadataAsked(Told):
    """One request of a guest."""

    network_id: str
    """The network that it came in from: with the address, this says who asks."""
    address: str
    """Its sender's."""
    method: str
    path: str
    """Without the query."""
    body: bytes = b""


class MetadataAnswer(Told):
    """What the guest is answered."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=UTF-8"
    retry_after_seconds: int | None = None
