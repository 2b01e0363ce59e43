"""What a guest is told: its specification, and the files of its config drive, from the server's record."""

import json
from collections.abc import Sequence
from typing import Any

from polyvisor.hypervisor.driver import GuestSpec
from polyvisor.model.nic import Nic
from polyvisor.model.order import ServerCreate
from polyvisor.operate.network_data import network_data, tagged_devices

_VERSION = "2018-08-27"
"""The newest version of the OpenStack metadata format that is written, beside `latest`."""


def specification(order: ServerCreate, zone: str, nics: Sequence[Nic] = ()) -> GuestSpec:
    """The driver's view of a server that is to be made, with these network cards."""
    server = order.server
    flavor = server.flavor
    return GuestSpec(
        server_id=server.id,
        name=server.name,
        hostname=server.hostname,
        project_id=server.project_id,
        project_name=order.project_name,
        vcpus=flavor.vcpus,
        memory_mib=flavor.memory_mib,
        root_gib=flavor.root_gib,
        ephemeral_gib=flavor.ephemeral_gib,
        swap_mib=flavor.swap_mib,
        image=server.image,
        extra_specs=flavor.extra_specs,
        config_drive=server.config_drive,
        metadata=metadata_files(order, zone, nics),
        user_data=server.user_data,
        nics=tuple(nics),
    )


def metadata_files(order: ServerCreate, zone: str, nics: Sequence[Nic] = ()) -> dict[str, str]:
    """The OpenStack tree of a config drive, path → text, as cloud-init's ConfigDrive source reads it.

    Source: Nova's documentation on the config drive and the metadata service ("openstack" format).
    """
    meta = json.dumps(_meta_data(order, zone, nics), sort_keys=True)
    network = json.dumps(network_data(nics), sort_keys=True)
    files = {}
    for version in (_VERSION, "latest"):
        files[f"openstack/{version}/meta_data.json"] = meta
        files[f"openstack/{version}/network_data.json"] = network
        files[f"openstack/{version}/vendor_data.json"] = "{}"
    return files


def _meta_data(order: ServerCreate, zone: str, nics: Sequence[Nic]) -> dict[str, Any]:
    server = order.server
    found: dict[str, Any] = {
        "uuid": server.id,
        "hostname": server.hostname,
        "name": server.name,
        "launch_index": server.launch_index,
        "availability_zone": zone,
        "project_id": server.project_id,
        "meta": server.metadata,
        "devices": tagged_devices(nics),
        "dedicated_cpus": [],
    }
    if order.admin_password:
        found["admin_pass"] = order.admin_password
    if server.key_name is not None:
        found["public_keys"] = {server.key_name: server.key_data}
        found["keys"] = [{"name": server.key_name, "type": "ssh", "data": server.key_data}]
    return found
