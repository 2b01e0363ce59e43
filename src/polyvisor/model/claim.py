"""Claims: the resources of a host that a server holds."""

from polyvisor.model.record import Record


class Claim(Record):
    """What one server holds on its host."""

    server_id: str
    host: str
    vcpus: int
    memory_mib: int
    disk_gib: int
