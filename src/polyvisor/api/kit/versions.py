"""Versions documents: where each service's API is, and which microversions it really serves, in its own form."""

from collections.abc import Sequence
from typing import Any

from polyvisor.api.kit.microversion import text
from polyvisor.api.kit.service import Service

_UPDATED = "2026-11-01T00:00:00Z"


def all_services(services: Sequence[Service], base: str) -> tuple[int, Any]:
    """The root of the whole cloud: every service's version, by type."""
    entries = []
    for service in services:
        entry = {"service_type": service.type, "id": service.version_path.strip("/"), "status": "CURRENT",
                 "links": [{"rel": "self", "href": f"{base}{service.prefix}/"}]}  # fmt: skip
        entry.update(_range(service))
        entries.append(entry)
    return 300, {"versions": entries}


def keystone_version(service: Service, base: str) -> tuple[int, Any]:
    """Keystone's document of one version."""
    return 200, {"version": _keystone(service, base)}


def keystone_root(service: Service, base: str) -> tuple[int, Any]:
    """Keystone's list of versions."""
    return 300, {"versions": {"values": [_keystone(service, base)]}}


def _keystone(service: Service, base: str) -> dict[str, Any]:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{base}{service.prefix}/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


def nova_version(service: Service, base: str) -> tuple[int, Any]:
    """Nova's document of one version."""
    described = {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/api-ref/compute/"}
    version = _nova(service, base)
    version["links"] = [*version["links"], described]
    version["media-types"] = [
        {"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}
    ]
    return 200, {"version": version}


def nova_root(service: Service, base: str) -> tuple[int, Any]:
    """Nova's list of versions."""
    return 200, {"versions": [_nova(service, base)]}


def _nova(service: Service, base: str) -> dict[str, Any]:
    return {
        "id": service.version_path.strip("/"),
        "status": "CURRENT",
        "updated": _UPDATED,
        "links": [{"rel": "self", "href": f"{base}{service.prefix}/"}],
        **_range(service),
    }


def _range(service: Service) -> dict[str, str]:
    if service.microversions is None:
        return {}
    newest, oldest = text(service.microversions.maximum), text(service.microversions.minimum)
    return {"version": newest, "min_version": oldest}


def glance_root(service: Service, base: str) -> tuple[int, Any]:
    """Glance's list of versions."""
    return 300, {"versions": [_glance(service, base, version) for version in _GLANCE]}


def glance_version(service: Service, base: str) -> tuple[int, Any]:
    """Glance answers below its version with the same list."""
    return glance_root(service, base)


_GLANCE = (("v2.7", "CURRENT"), ("v2.5", "SUPPORTED"), ("v2.4", "SUPPORTED"), ("v2.3", "SUPPORTED"),
           ("v2.2", "SUPPORTED"), ("v2.1", "SUPPORTED"), ("v2.0", "SUPPORTED"))  # fmt: skip


def _glance(service: Service, base: str, version: tuple[str, str]) -> dict[str, Any]:
    links = [{"rel": "self", "href": f"{base}{service.prefix}/"}]
    return {"id": version[0], "status": version[1], "links": links}
