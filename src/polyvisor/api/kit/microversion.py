"""Microversions: which one a request asks for, and what the answer says about it."""

import re
from collections.abc import Mapping

from polyvisor.model.errors import Invalid, PolyvisorError
from polyvisor.model.record import Record

Version = tuple[int, int]
FOREVER: Version = (999_999, 999_999)
_FORM = re.compile(r"([1-9]\d{0,5})\.(0|[1-9]\d{0,5})")


class NotAcceptable(PolyvisorError):
    """The service has no such microversion (406)."""


class Microversions(Record):
    """The range that a service really serves, and the names under which clients ask for it."""

    service_type: str
    """As it stands in `OpenStack-API-Version: <service_type> X.Y`."""
    minimum: Version
    maximum: Version
    legacy_header: str = ""
    """The service's header from before `OpenStack-API-Version`, such as X-OpenStack-Nova-API-Version."""

    def negotiate(self, headers: Mapping[str, str]) -> Version:
        """The version that a request asks for; the minimum where it asks for none.

        `headers` by lower-case name. Raises Invalid (malformed) and NotAcceptable (out of range).
        """
        asked = self._asked(headers)
        if asked is None:
            return self.minimum
        if asked.lower() == "latest":
            return self.maximum
        found = _FORM.fullmatch(asked)
        if found is None:
            raise Invalid(
                f"API Version String '{asked}' is of invalid format. "
                f"It must be of format MajorNum.MinorNum, such as {text(self.maximum)}, or 'latest'."
            )
        version = (int(found[1]), int(found[2]))
        if not self.minimum <= version <= self.maximum:
            raise NotAcceptable(
                f"Version {asked} is not supported by the API. "
                f"Minimum is {text(self.minimum)} and maximum is {text(self.maximum)}."
            )
        return version

    def _asked(self, headers: Mapping[str, str]) -> str | None:
        for entry in headers.get("openstack-api-version", "").split(","):
            service_type, _, version = entry.strip().partition(" ")
            if service_type.lower() == self.service_type:
                return version.strip()
        return headers.get(self.legacy_header.lower()) if self.legacy_header else None

    def headers(self, version: Version) -> dict[str, str]:
        """What every answer of the service says: the version it was made for, and what it varies by."""
        shown = {"OpenStack-API-Version": f"{self.service_type} {text(version)}", "Vary": "OpenStack-API-Version"}
        if self.legacy_header:
            shown[self.legacy_header] = text(version)
            shown["Vary"] += f", {self.legacy_header}"
        return shown


def text(version: Version) -> str:
    """ "2.90" for (2, 90)."""
    return f"{version[0]}.{version[1]}"
