"""The marks that tell our VMs from others': extraConfig keys, read one by one, never the whole configuration."""

from collections.abc import Mapping
from typing import Any

from pyVmomi import vim

from polyvisor.hypervisor.vsphere.properties import Properties

CLOUD_KEY = "polyvisor.cloud_id"
SERVER_KEY = "polyvisor.server_id"
IMAGE_KEY = "polyvisor.image_id"
NAME_KEY = "polyvisor.name"
VIF_MODEL_KEY = "polyvisor.vif_model"
"""What the image said of network cards, for those that are plugged in later. Beside the marks."""
PATHS = [f'config.extraConfig["{key}"]' for key in (CLOUD_KEY, SERVER_KEY, IMAGE_KEY, NAME_KEY)]


def mark_of_server(cloud_id: str, server_id: str, name: str) -> dict[str, str]:
    """Of a VM that is a server of this cloud. Its name in vCenter is cut and escaped; this is the user's."""
    return {CLOUD_KEY: cloud_id, SERVER_KEY: server_id, NAME_KEY: name}


def mark_of_image(cloud_id: str, image_id: str) -> dict[str, str]:
    """Of a VM that exists for the upload of an image."""
    return {CLOUD_KEY: cloud_id, IMAGE_KEY: image_id}


def options(values: Mapping[str, str]) -> list[Any]:
    """As vSphere takes them."""
    return [vim.option.OptionValue(key=key, value=value) for key, value in values.items()]


def value(props: Properties, key: str) -> str:
    """A mark's value; "" when it is not there."""
    option = props.get(f'config.extraConfig["{key}"]')
    return str(option.value) if option is not None else ""


def server_of(props: Properties, cloud_id: str) -> str | None:
    """The server that a VM is; None for another's VM, and for a copy that someone made of one of ours: vCenter gives a
    copy all marks, but an instanceUuid of its own."""
    server_id = value(props, SERVER_KEY)
    ours = value(props, CLOUD_KEY) == cloud_id and server_id == props.get("config.instanceUuid")
    return server_id if ours and server_id else None


def image_of(props: Properties, cloud_id: str) -> str | None:
    """The image that a VM of ours was made to upload; None for all others."""
    return value(props, IMAGE_KEY) or None if value(props, CLOUD_KEY) == cloud_id else None
