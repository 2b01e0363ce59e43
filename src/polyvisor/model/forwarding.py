"""Ranges of forwarded ports: how many fit together, and which collide."""

from polyvisor.model.errors import Invalid
from polyvisor.model.router import PortForwarding

Range = tuple[int, int]
"""The first and the last port."""
PROTOCOLS = ("tcp", "udp")


def ports_of(text: str) -> Range:
    """A port, or "first:last". Raises Invalid."""
    first, _, last = text.partition(":")
    parts = (first, last) if last else (first, first)
    if not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts) or text.endswith(":"):
        raise Invalid(f"'{text[:64]}' is no port and no range of ports: such as 80 or 8000:8010 is expected.")
    found = int(parts[0]), int(parts[1])
    if not 1 <= found[0] <= found[1] <= 65_535:
        raise Invalid(
            f"Bad port_forwarding request: Invalid port value {text}, the port value must be a value between 1 and "
            "65535, and a range must not run backwards."
        )
    return found


def check_ranges(forwarding: PortForwarding) -> None:
    """Raise Invalid unless as many ports are outside as inside, or one is inside."""
    outside, within = ports_of(forwarding.external_port), ports_of(forwarding.internal_port)
    if within[0] != within[1] and outside[1] - outside[0] != within[1] - within[0]:
        raise Invalid(
            "Bad port_forwarding request: Invalid ranges of internal and/or external ports. The relation between "
            "internal and external ports must be N-N or 1-N."
        )


def colliding(one: PortForwarding, other: PortForwarding) -> str | None:
    """Which ports two forwardings of one protocol have in common, in a sentence; None where they have none."""
    if one.floating_ip_id == other.floating_ip_id and _overlap(one.external_port, other.external_port):
        return _sentence("external_port_range", other.external_port, one.external_port)
    same = (one.internal_port_id, one.internal_ip_address) == (other.internal_port_id, other.internal_ip_address)
    if same and _overlap(one.internal_port, other.internal_port):
        return _sentence("internal_port_range", other.internal_port, one.internal_port)
    return None


def _overlap(one: str, other: str) -> bool:
    first, second = ports_of(one), ports_of(other)
    return max(first[0], second[0]) <= min(first[1], second[1])


def _sentence(field: str, known: str, asked: str) -> str:
    return f"There is a port collision with the {field}. The following ranges collide: {known} and {asked}."
