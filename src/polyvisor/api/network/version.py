"""Neutron's versions documents: the versions, and below one of them its resources."""

from typing import Any

from polyvisor.api.kit.service import Service


def neutron_root(service: Service, base: str) -> tuple[int, Any]:
    """The versions."""
    link = {"rel": "self", "href": f"{base}{service.prefix}/"}
    return 200, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]}


def neutron_version(service: Service, base: str) -> tuple[int, Any]:
    """The resources of the version."""
    collections = sorted({resource.prefix.strip("/") for resource in service.resources})
    shown = [
        {
            "name": _one(collection),
            "collection": collection,
            "links": [{"rel": "self", "href": f"{base}{service.prefix}/{collection}"}],
        }
        for collection in collections
        if "/" not in collection
    ]
    return 200, {"resources": shown}


def _one(collection: str) -> str:
    if collection.endswith("ies"):
        return f"{collection[:-3]}y"
    return collection.removesuffix("s")
