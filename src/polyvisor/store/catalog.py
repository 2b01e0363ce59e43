"""The service catalogue in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, Column, ColumnElement, ForeignKey, String, Table, Text, delete

from polyvisor.model.catalog import CatalogEntry, CatalogService, Endpoint, Interface
from polyvisor.model.errors import NotFound
from polyvisor.store.identity_changes import changed
from polyvisor.store.records import Records
from polyvisor.store.tables import metadata

if TYPE_CHECKING:
    from polyvisor.store.store import Store

service = Table(
    "catalog_service",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("type", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("description", Text),
    Column("enabled", Boolean, nullable=False),
)
endpoint = Table(
    "catalog_endpoint",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("service_id", String(64), ForeignKey("catalog_service.id"), nullable=False, index=True),
    Column("interface", String(8), nullable=False),
    Column("region_id", String(255), ForeignKey("region.id")),
    Column("url", Text, nullable=False),
    Column("name", String(255)),
    Column("enabled", Boolean, nullable=False),
)
_services = Records(service, CatalogService)
_endpoints = Records(endpoint, Endpoint)


class Catalog:
    """The statements on the catalogue's services and endpoints."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.connection

    def entries(self) -> list[CatalogEntry]:
        """What tokens show: enabled services with their enabled endpoints. Two statements."""
        found: dict[str, list[Endpoint]] = {}
        for record in _endpoints.list(self._sql, [endpoint.c.enabled], [endpoint.c.interface, endpoint.c.id]):
            found.setdefault(record.service_id, []).append(record)
        services = _services.list(self._sql, [service.c.enabled], [service.c.type, service.c.id])
        return [CatalogEntry(service=record, endpoints=tuple(found.get(record.id, ()))) for record in services]

    def create_service(self, record: CatalogService) -> None:
        """A new service."""
        _services.add(self._sql, record)
        changed(self._store)

    def service(self, service_id: str) -> CatalogService:
        """A service. Raises NotFound."""
        record = _services.get(self._sql, service_id)
        if record is None:
            raise NotFound(f"Could not find service: {service_id}.")
        return record

    def services(
        self,
        *,
        service_type: str | None = None,
        name: str | None = None,
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[CatalogService]:
        """Services, by type. One statement."""
        where: list[ColumnElement[bool]] = []
        if service_type is not None:
            where.append(service.c.type == service_type)
        if name is not None:
            where.append(service.c.name == name)
        return _services.list(self._sql, where, [service.c.type, service.c.id], limit, marker)

    def update_service(self, service_id: str, changes: dict[str, Any]) -> CatalogService:
        """The service with other fields. Raises NotFound."""
        self.service(service_id)
        _services.update(self._sql, service_id, changes)
        changed(self._store)
        return self.service(service_id)

    def remove_service(self, service_id: str) -> None:
        """Remove a service with its endpoints."""
        self._sql.execute(delete(endpoint).where(endpoint.c.service_id == service_id))
        _services.delete(self._sql, service_id)
        changed(self._store)

    def create_endpoint(self, record: Endpoint) -> None:
        """A new endpoint."""
        _endpoints.add(self._sql, record)
        changed(self._store)

    def endpoint(self, endpoint_id: str) -> Endpoint:
        """An endpoint. Raises NotFound."""
        record = _endpoints.get(self._sql, endpoint_id)
        if record is None:
            raise NotFound(f"Could not find endpoint: {endpoint_id}.")
        return record

    def endpoints(
        self,
        *,
        service_id: str | None = None,
        interface: Interface | None = None,
        region_id: str | None = None,
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[Endpoint]:
        """Endpoints. One statement."""
        where: list[ColumnElement[bool]] = []
        if service_id is not None:
            where.append(endpoint.c.service_id == service_id)
        if interface is not None:
            where.append(endpoint.c.interface == str(interface))
        if region_id is not None:
            where.append(endpoint.c.region_id == region_id)
        order = [endpoint.c.id]
        return _endpoints.list(self._sql, where, order, limit, marker)

    def update_endpoint(self, endpoint_id: str, changes: dict[str, Any]) -> Endpoint:
        """The endpoint with other fields. Raises NotFound."""
        self.endpoint(endpoint_id)
        _endpoints.update(self._sql, endpoint_id, changes)
        changed(self._store)
        return self.endpoint(endpoint_id)

    def remove_endpoint(self, endpoint_id: str) -> None:
        """Remove an endpoint."""
        _endpoints.delete(self._sql, endpoint_id)
        changed(self._store)
