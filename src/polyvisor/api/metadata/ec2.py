"""EC2's tree, as Nova serves it and cloud-init's EC2 source reads it: a directory lists its names, a leaf is a text."""

from collections.abc import Sequence
from typing import Any

from polyvisor.api.metadata.found import Found, listing, text
from polyvisor.api.metadata.openstack import user_data
from polyvisor.model.instance_metadata import LATEST, Instance

VERSIONS = (
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
)
"""Of the format, oldest first."""
_ID_DIGITS = 17
_SHOWN_AS = "_name"
"""In a directory: how it is listed by the one above it. Names of files never begin so."""


def ec2(instance: Instance, tokens: Sequence[str]) -> Found | None:
    """What lies at a path, split at its slashes; None where there is nothing."""
    if not tokens:
        return listing((*VERSIONS, LATEST))
    version, *rest = tokens
    if version != LATEST and version not in VERSIONS:
        return None
    found: Any = {"meta-data": meta_data(instance, VERSIONS[-1] if version == LATEST else version)}
    data = user_data(instance)
    if data is not None:
        found["user-data"] = data
    for name in rest:
        if not isinstance(found, dict) or name not in found or name == _SHOWN_AS:
            return None
        found = found[name]
    return _shown(found)


def meta_data(instance: Instance, version: str) -> dict[str, Any]:
    """The tree `meta-data` of a version: names → texts, lists of texts, or trees."""
    server = instance.server
    fixed = [one.address for nic in instance.nics for one in nic.addresses if one.ip_version == 4]
    floating = [address for address in instance.floating_ips if ":" not in address]
    found: dict[str, Any] = {
        "ami-launch-index": str(server.launch_index),
        "ami-manifest-path": "FIXME",  # so does Nova: there is no manifest, and readers expect a word
        "hostname": server.hostname,
        "instance-id": "i-" + server.id.replace("-", "")[:_ID_DIGITS],
        "local-ipv4": fixed[0] if fixed else "",
        "reservation-id": server.reservation_id,
        "security-groups": list(instance.security_groups),
    }
    if server.image is not None:
        found["ami-id"] = "ami-" + server.image.id.replace("-", "")[:_ID_DIGITS]
    if server.key_name is not None:
        found["public-keys"] = {"0": {_SHOWN_AS: f"0={server.key_name}", "openssh-key": server.key_data}}
    if version >= "2007-01-19":
        found["local-hostname"] = found["public-hostname"] = server.hostname
        found["public-ipv4"] = floating[0] if floating else ""
    if version >= "2007-08-29":
        found["instance-type"] = server.flavor.name
    if version >= "2007-12-15":
        # The guest's kernel names its further disks: they are not guessed at here.
        found["block-device-mapping"] = {"ami": "vda", "root": "/dev/vda"}
    if version >= "2008-02-01":
        found["placement"] = {"availability-zone": server.zone}
    if version >= "2008-09-01":
        found["instance-action"] = "none"
    return found


def _shown(value: Any) -> Found:
    if isinstance(value, bytes):
        return Found(body=value, content_type="application/octet-stream")
    if isinstance(value, list):
        return listing(value)
    if isinstance(value, dict):
        return listing(_line(name, value[name]) for name in sorted(value) if name != _SHOWN_AS)
    return text(str(value))


def _line(name: str, value: Any) -> str:
    if not isinstance(value, dict):
        return name
    return str(value.get(_SHOWN_AS, f"{name}/"))
