"""The service catalogue: services and their endpoints."""

from enum import StrEnum

from polyvisor.model.record import Record


class Interface(StrEnum):
    """Whom an endpoint is for."""

    PUBLIC = "public"
    INTERNAL = "internal"
    ADMIN = "admin"


class CatalogService(Record):
    """A service in the catalogue."""

    id: str
    type: str
    name: str = ""
    description: str | None = None
    enabled: bool = True


class Endpoint(Record):
    """An address of a service."""

    id: str
    service_id: str
    interface: Interface
    region_id: str | None = None
    url: str
    name: str | None = None
    enabled: bool = True


class CatalogEntry(Record):
    """An enabled service with its enabled endpoints."""

    service: CatalogService
    endpoints: tuple[Endpoint, ...]
