"""Quotas: how much of each resource a project (or, for key pairs, a user) may have."""

from polyvisor.model.record import Record

UNLIMITED = -1

DEFAULTS: dict[str, int] = {
    "instances": 10,
    "cores": 20,
    "ram": 51_200,
    "metadata_items": 128,
    "key_pairs": 100,
    "server_groups": 0,
    "server_group_members": 0,
    "injected_files": 0,
    "injected_file_content_bytes": 0,
    "injected_file_path_bytes": 0,
    "fixed_ips": UNLIMITED,
    "floating_ips": UNLIMITED,
    "security_groups": UNLIMITED,
    "security_group_rules": UNLIMITED,
}
"""Limits by the Compute API's names, where neither the project nor the cloud's default class says otherwise.

`ram` is in MiB. Server groups and injected files do not exist here, so there is room for none. Those of networks are
what old clients still set and read; nothing is counted against them.
"""

COUNTED = ("instances", "cores", "ram")
"""Resources whose use is summed over a project's servers."""


class Usage(Record):
    """What a project's servers use together."""

    instances: int = 0
    cores: int = 0
    ram: int = 0
    """In MiB."""

    def of(self, resource: str) -> int:
        """How much of a resource is used; 0 for what is not summed."""
        return int(getattr(self, resource)) if resource in COUNTED else 0
