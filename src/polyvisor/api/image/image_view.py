"""An image as the Image API shows it."""

from typing import Any

from polyvisor.api.kit.times import zulu
from polyvisor.model.image import Image


def image_view(image: Image) -> dict[str, Any]:
    """The JSON object: the fixed fields, and each property beside them."""
    here = f"/v2/images/{image.id}"
    return {
        **image.properties,
        "id": image.id,
        "name": image.name,
        "owner": image.owner,
        "status": image.status.value,
        "visibility": image.visibility.value,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "size": image.size_bytes,
        "virtual_size": image.virtual_size_bytes,
        "checksum": image.checksum,
        "os_hash_algo": image.hash_algorithm,
        "os_hash_value": image.hash_value,
        "os_hidden": image.hidden,
        "min_disk": image.min_disk_gib,
        "min_ram": image.min_ram_mib,
        "protected": image.protected,
        "tags": list(image.tags),
        "created_at": zulu(image.created_at),
        "updated_at": zulu(image.updated_at),
        "self": here,
        "file": f"{here}/file",
        "schema": "/v2/schemas/image",
    }
