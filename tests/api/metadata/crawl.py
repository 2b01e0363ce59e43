"""Reads metadata as cloud-init's sources do, by their documentation: which paths, in which order, and what they expect.

https://docs.cloud-init.io/en/latest/reference/datasources/openstack.html and …/ec2.html
"""

import json
from collections.abc import Callable
from typing import Any

from polyvisor.model.metadata import MetadataAnswer

Get = Callable[[str], MetadataAnswer]
KNOWN_VERSIONS = (
    "2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22", "2018-08-27",
)  # fmt: skip
"""Those that cloud-init knows by name; it takes the newest of them that the service lists, else `latest`."""
OPTIONAL = ("user_data", "vendor_data.json", "vendor_data2.json", "network_data.json")


def openstack(get: Get) -> dict[str, Any]:
    """What the OpenStack source reads: each file by its name, decoded where it is JSON; and the EC2 tree's mapping."""
    offered = _text(get("/openstack")).splitlines()
    version = next((each for each in reversed(KNOWN_VERSIONS) if each in offered), "latest")
    found: dict[str, Any] = {
        "version": version,
        "meta_data.json": json.loads(_text(get(_path(version, "meta_data.json")))),
    }
    for name in OPTIONAL:
        answer = get(_path(version, name))
        if answer.status == 404:
            continue
        found[name] = json.loads(_text(answer)) if name.endswith(".json") else answer.body
    found["ec2"] = ec2(get, "latest")["meta-data"]
    return found


def ec2(get: Get, version: str = "2009-04-04") -> dict[str, Any]:
    """What the EC2 source reads: the whole tree below meta-data/, and the user data."""
    found: dict[str, Any] = {"meta-data": _directory(get, f"/{version}/meta-data/")}
    user_data = get(f"/{version}/user-data")
    if user_data.status == 200:
        found["user-data"] = user_data.body
    return found


def _directory(get: Get, path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for line in _text(get(path)).splitlines():
        if line.endswith("/"):
            found[line[:-1]] = _directory(get, path + line)
        elif "=" in line:  # a public key: "0=name"
            number, _, name = line.partition("=")
            found[name] = _text(get(f"{path}{number}/openssh-key"))
        else:
            found[line] = _text(get(path + line))
    return found


def _path(version: str, name: str) -> str:
    return f"/openstack/{version}/{name}"


def _text(answer: MetadataAnswer) -> str:
    assert answer.status == 200, answer
    return answer.body.decode()
