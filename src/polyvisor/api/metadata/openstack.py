"""The tree below /openstack, as Nova serves it and cloud-init's OpenStack source reads it."""

import base64
import binascii
from collections.abc import Callable, Sequence

from polyvisor.api.metadata.found import Found, json, listing, text
from polyvisor.model.instance_metadata import (
    GRIZZLY,
    HAVANA,
    LATEST,
    LIBERTY,
    NEWTON_TWO,
    VERSIONS,
    Instance,
    has,
    meta_data,
)
from polyvisor.model.network_data import network_data

PASSWORD = "password"  # noqa: S105 - a file's name
_USER_DATA = "user_data"

Seed = Callable[[], bytes]
"""Random bytes for the guest's own generator, new at each call."""


def openstack(instance: Instance, tokens: Sequence[str], seed: Seed) -> Found | None:
    """What lies at a path below /openstack, split at its slashes; None where there is nothing."""
    if not tokens:
        return listing((*VERSIONS, LATEST))
    version, *rest = tokens
    if (version != LATEST and version not in VERSIONS) or len(rest) > 1:
        return None
    files = _files(instance, version, seed)
    if not rest:
        return listing(files)
    make = files.get(rest[0])
    return make() if make is not None else None


def user_data(instance: Instance) -> bytes | None:
    """The user data as the guest is to have it; None where there is none."""
    if not instance.server.user_data:
        return None
    try:
        return base64.b64decode(instance.server.user_data, validate=True)
    except binascii.Error:
        return None


def _files(instance: Instance, version: str, seed: Seed) -> dict[str, Callable[[], Found]]:
    """The files of a version, in the order in which Nova lists them, each by the function that makes it."""
    data = user_data(instance)
    found: dict[str, Callable[[], Found]] = {"meta_data.json": lambda: _meta_data(instance, version, seed)}
    if data is not None:
        found[_USER_DATA] = lambda: Found(body=data, content_type="application/octet-stream")
    if has(version, GRIZZLY):
        found[PASSWORD] = lambda: text(instance.password)
    if has(version, HAVANA):
        found["vendor_data.json"] = lambda: json({})
    if has(version, LIBERTY):
        found["network_data.json"] = lambda: json(network_data(instance.nics))
    if has(version, NEWTON_TWO):
        found["vendor_data2.json"] = lambda: json({})
    return found


def _meta_data(instance: Instance, version: str, seed: Seed) -> Found:
    told = meta_data(instance.server, instance.nics, instance.server.zone, version)
    if has(version, GRIZZLY):
        told["random_seed"] = base64.b64encode(seed()).decode()
    return json(told)
