"""Flavors: the sizes servers come in."""

from datetime import datetime

from polyvisor.model.record import Told


class Flavor(Told):
    """A flavor as the store has it. A server keeps the copy it was made with."""

    id: str
    """The `flavorid` users see: a uuid, or whatever the administrator chose."""
    name: str
    vcpus: int
    memory_mib: int
    root_gib: int
    ephemeral_gib: int = 0
    swap_mib: int = 0
    rxtx_factor: float = 1.0
    public: bool = True
    disabled: bool = False
    description: str | None = None
    extra_specs: dict[str, str] = {}
    created_at: datetime


def default_flavors(now: datetime) -> list[Flavor]:
    """The flavors of a new cloud, by the names and ids that users of OpenStack know."""
    sizes = (
        ("42", "m1.nano", 1, 128, 1),
        ("1", "m1.tiny", 1, 512, 1),
        ("2", "m1.small", 1, 2048, 20),
        ("3", "m1.medium", 2, 4096, 40),
        ("4", "m1.large", 4, 8192, 80),
        ("5", "m1.xlarge", 8, 16_384, 160),
    )
    return [
        Flavor(id=flavor_id, name=name, vcpus=vcpus, memory_mib=memory_mib, root_gib=root_gib, created_at=now)
        for flavor_id, name, vcpus, memory_mib, root_gib in sizes
    ]
