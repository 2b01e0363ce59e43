"""What a guest is told of itself, in OpenStack's form: the one source of the config drive and the metadata service."""

from collections.abc import Sequence
from typing import Any

from polyvisor.model.network_data import tagged_devices
from polyvisor.model.nic import Nic
from polyvisor.model.record import Record
from polyvisor.model.server import Server

GRIZZLY = "2013-04-04"
HAVANA = "2013-10-17"
LIBERTY = "2015-10-15"
NEWTON_ONE = "2016-06-30"
NEWTON_TWO = "2016-10-06"
VICTORIA = "2020-10-14"
VERSIONS = ("2012-08-10", GRIZZLY, HAVANA, LIBERTY, NEWTON_ONE, NEWTON_TWO, "2017-02-22", "2018-08-27", VICTORIA)
"""Of the format, oldest first, as Nova has them; each adds to the one before."""
LATEST = "latest"


class Instance(Record):
    """A server as its own guest sees it."""

    server: Server
    nics: tuple[Nic, ...] = ()
    security_groups: tuple[str, ...] = ()
    """Names, of all its ports."""
    floating_ips: tuple[str, ...] = ()
    """Addresses outside, those of IPv4 first."""
    password: str = ""
    """What the guest has posted."""


def meta_data(
    server: Server, nics: Sequence[Nic], zone: str, version: str = LATEST, admin_password: str = ""
) -> dict[str, Any]:
    """The content of `meta_data.json`, by Nova's documentation of the metadata service; `version` may leave out what
    later ones have added. `admin_password`: on a config drive alone, for nobody else keeps it."""
    found: dict[str, Any] = {
        "uuid": server.id,
        "hostname": server.hostname,
        "name": server.name,
        "launch_index": server.launch_index,
        "availability_zone": zone,
        "meta": server.metadata,
    }
    if admin_password:
        found["admin_pass"] = admin_password
    if server.key_name is not None:
        found["public_keys"] = {server.key_name: server.key_data}
        found["keys"] = [{"name": server.key_name, "type": "ssh", "data": server.key_data}]
    if has(version, LIBERTY):
        found["project_id"] = server.project_id
    if has(version, NEWTON_ONE):
        found["devices"] = tagged_devices(nics)
    if has(version, VICTORIA):
        found["dedicated_cpus"] = []
    return found


def has(version: str, since: str) -> bool:
    """Whether a version of the format has what the version `since` has added."""
    return version == LATEST or version >= since
