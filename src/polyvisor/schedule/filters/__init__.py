"""Conditions that a host must meet: one file each, in the order in which a refusal names them."""

from typing import Protocol

from polyvisor.schedule.ask import Ask
from polyvisor.schedule.columns import Mask
from polyvisor.schedule.filters import (
    aggregate_specs,
    aggregate_traits,
    architecture,
    capabilities,
    capacity,
    datastore,
    hypervisor_type,
    image_format,
    image_isolation,
    largest,
    named_host,
    networks,
    passed_over,
    state,
    tenants,
    traits,
    tried,
    zone,
)
from polyvisor.schedule.phrase import Phrase
from polyvisor.schedule.settings import ScheduleSettings
from polyvisor.schedule.table import HostTable


class Filter(Protocol):
    """A module or object that passes over hosts. The mask is False exactly where the reason is not None."""

    @property
    def ADVICE(self) -> str:  # noqa: N802 - a module's constant
        """What the user could do, as in "Ask for a smaller flavor", without capital and full stop."""

    @property
    def __name__(self) -> str:
        """The module's name, whose last part is the filter's word in metrics."""

    def mask(self, table: HostTable, ask: Ask) -> Mask | None:
        """Of the first `table.size` rows, those that pass; None = all. Rows of removed hosts may say anything."""

    def reason(self, table: HostTable, row: int, ask: Ask) -> str | None:
        """Why the host in this row does not pass, for the administrator: goes on from the host's name."""

    def phrase(self, table: HostTable, row: int, ask: Ask) -> Phrase:
        """The same for the user, who learns no numbers and names of the inside. Asked only of hosts with a reason."""


FILTERS: tuple[Filter, ...] = (
    named_host,
    state,
    passed_over,
    tried,
    zone,
    hypervisor_type,
    architecture,
    image_format,
    networks,
    tenants,
    aggregate_specs,
    aggregate_traits,
    traits,
    capabilities,
    largest,
    capacity.VCPU,
    capacity.RAM,
    capacity.ROOM,
    datastore,
)


def filters_for(settings: ScheduleSettings) -> tuple[Filter, ...]:
    """The filters that these settings ask for."""
    return (*FILTERS, image_isolation) if settings.image_property_isolation else FILTERS
