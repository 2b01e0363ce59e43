"""A service: its prefix, its resources, its policy rules, and its way of saying versions and errors."""

from collections.abc import Callable, Sequence
from typing import Any

from polyvisor.api.kit.errors import Form, keystone_form
from polyvisor.api.kit.microversion import Microversions
from polyvisor.api.kit.policy import Rule
from polyvisor.api.kit.resource import Resource, Route
from polyvisor.api.kit.router import Router

Document = Callable[["Service", str], tuple[int, Any]]
"""From the service and the base URL to the status and body of a versions document."""


class Service:
    """One OpenStack service, mounted at `root` + `version_path`: "/compute" + "/v2.1"."""

    def __init__(
        self,
        service_type: str,
        root: str,
        version_path: str,
        *,
        resources: Sequence[Resource],
        rules: Sequence[Rule],
        root_document: Document,
        version_document: Document,
        error_form: Form = keystone_form,
        microversions: Microversions | None = None,
        request_id_header: str | None = None,
    ) -> None:
        """`request_id_header`: another header that carries the request id, as x-compute-request-id does."""
        self.type = service_type
        self.root = root
        self.version_path = version_path
        self.prefix = root + version_path
        self.resources = tuple(resources)
        self.rules = tuple(rules)
        self.root_document = root_document
        self.version_document = version_document
        self.error_form = error_form
        self.microversions = microversions
        self.request_id_header = request_id_header
        self.routes: tuple[Route, ...] = tuple(route for resource in self.resources for route in resource.routes)
        self.router = Router(self.routes)
