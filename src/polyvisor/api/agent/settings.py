"""Settings of the listener for agents."""

from polyvisor.model.record import Record


class AgentSettings(Record):
    """`[agents]`: where agents dial in, and for how long what they are given lasts."""

    listen: str = ""
    """Address and port that agents dial, always by mutual TLS; empty = no agents are served."""
    public_urls: tuple[str, ...] = ()
    """Addresses by which agents reach this server, such as "https://cloud1.example:5443"; empty = by `listen`."""
    certificate_days: float = 30.0
    """How long an agent's certificate lasts; the agent renews it after two thirds of that."""
    longest_wait_seconds: float = 60.0
    """How long an agent's request for work is held open at most."""
    silence_seconds: float = 30.0
    """How long to wait for the next bytes of a request's body."""
    max_body_bytes: int = 67_108_864
    """The largest request; the inventory of a large vCenter is a few MiB."""
    threads: int = 8
    """Inventories and image pieces that are worked on side by side."""
