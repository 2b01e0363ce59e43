"""What a guest is told: its specification, and the files of its config drive, from the server's record."""

import json
from collections.abc import Sequence

from polyvisor.hypervisor.driver import GuestSpec
from polyvisor.model.instance_metadata import LATEST, meta_data
from polyvisor.model.network_data import network_data
from polyvisor.model.nic import Nic
from polyvisor.model.order import ServerCreate

_VERSIONS = ("2018-08-27", LATEST)
"""Of the OpenStack metadata format: the newest that cloud-init knows by its name, and what is the newest here."""


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

    Source: Nova's documentation on the config drive and the metadata service ("openstack" format). The metadata service
    says the same.
    """
    network = json.dumps(network_data(nics), sort_keys=True)
    files = {}
    for version in _VERSIONS:
        meta = meta_data(order.server, nics, zone, version, order.admin_password)
        files[f"openstack/{version}/meta_data.json"] = json.dumps(meta, sort_keys=True)
        files[f"openstack/{version}/network_data.json"] = network
        files[f"openstack/{version}/vendor_data.json"] = "{}"
        files[f"openstack/{version}/vendor_data2.json"] = "{}"
    return files
