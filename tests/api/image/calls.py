"""Requests that the Image tests make over and over."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.api.client import Answer, ApiClient

IMAGES = "/image/v2/images"
V21 = "application/openstack-images-v2.1-json-patch"
V20 = "application/openstack-images-v2.0-json-patch"
CHUNK_BYTES = 64 << 10


def made(client: ApiClient, **fields: Any) -> dict[str, Any]:
    """A new image, as the API shows it."""
    body = {"disk_format": "raw", "container_format": "bare", **fields}
    answer = client.post(IMAGES, {name: value for name, value in body.items() if value is not None})
    assert answer.status == 201, answer
    shown: dict[str, Any] = answer.body
    return shown


def put(client: ApiClient, image_id: str, data: bytes | Iterable[bytes] | Path) -> Answer:
    """Upload."""
    body = chunks(data) if isinstance(data, Path) else data
    headers = {"Content-Type": "application/octet-stream"}
    return client.request("PUT", f"{IMAGES}/{image_id}/file", data=body, headers=headers)


def chunks(path: Path) -> Iterator[bytes]:
    """A file as an HTTP server hands it on: in small pieces."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def uploaded(client: ApiClient, data: bytes | Path = bytes(4096), **fields: Any) -> dict[str, Any]:
    """A new image with data, as the API shows it."""
    image = made(client, **fields)
    answer = put(client, image["id"], data)
    assert answer.status == 204, answer
    return show(client, image["id"])


def show(client: ApiClient, image_id: str) -> dict[str, Any]:
    """The image as the API shows it."""
    answer = client.get(f"{IMAGES}/{image_id}")
    assert answer.status == 200, answer
    shown: dict[str, Any] = answer.body
    return shown


def patch(client: ApiClient, image_id: str, *operations: dict[str, Any], media_type: str = V21) -> Answer:
    """A JSON patch."""
    return client.request("PATCH", f"{IMAGES}/{image_id}", json=list(operations), headers={"Content-Type": media_type})


def names(answer: Answer) -> list[str]:
    """The names in a list."""
    assert answer.status == 200, answer
    return [image["name"] for image in answer.body["images"]]
