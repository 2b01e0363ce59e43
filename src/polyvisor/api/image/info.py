"""What this Image service is made of, for clients that ask before they act."""

from polyvisor.api.kit import Call, Reply, Resource

info = Resource("/info")


@info.route("GET", "/import", policy="get_images")
def import_methods(_: Call) -> Reply:
    """The methods of import: none, data is uploaded straight to the image."""
    methods = {"description": "Import methods available.", "type": "array", "value": []}
    return Reply(200, {"import-methods": methods})


@info.route("GET", "/stores", policy="get_images")
def stores(_: Call) -> Reply:
    """Where data is kept: in one place."""
    return Reply(200, {"stores": [{"id": "file", "description": "Files of this cloud.", "default": "true"}]})
