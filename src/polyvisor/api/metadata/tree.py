"""Both trees as one, by the paths that guests ask for."""

import posixpath
from urllib.parse import unquote

from polyvisor.api.metadata.ec2 import ec2
from polyvisor.api.metadata.found import Found
from polyvisor.api.metadata.openstack import PASSWORD, Seed, openstack
from polyvisor.model.instance_metadata import GRIZZLY, LATEST, VERSIONS, Instance, has


def tokens_of(path: str) -> tuple[str, ...]:
    """A path's names: "/openstack//latest/" → ("openstack", "latest"). What does not begin with one of the two trees'
    names is EC2's."""
    named = posixpath.normpath("/" + unquote(path)).strip("/")
    found = tuple(named.split("/")) if named else ()
    return found if found[:1] in (("openstack",), ("ec2",)) else ("ec2", *found)


def look_up(instance: Instance, tokens: tuple[str, ...], seed: Seed) -> Found | None:
    """What lies there; None where there is nothing."""
    if tokens[0] == "openstack":
        return openstack(instance, tokens[1:], seed)
    return ec2(instance, tokens[1:])


def is_password(tokens: tuple[str, ...]) -> bool:
    """Whether the path is that of the password, which a guest may post."""
    if len(tokens) != 3 or tokens[0] != "openstack" or tokens[2] != PASSWORD:
        return False
    return tokens[1] == LATEST or (tokens[1] in VERSIONS and has(tokens[1], GRIZZLY))
