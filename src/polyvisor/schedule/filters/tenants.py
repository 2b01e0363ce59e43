"""Aggregates kept for some projects by `filter_tenant_id`."""

from polyvisor.schedule.ask import Ask
from polyvisor.schedule.columns import Mask
from polyvisor.schedule.groups import Group
from polyvisor.schedule.phrase import Phrase
from polyvisor.schedule.table import HostTable

ADVICE = "ask the administrator to let this project use more hosts"


def mask(table: HostTable, ask: Ask) -> Mask | None:
    """Which hosts are for everybody or for this project."""
    project = ask.request.project_id

    def open_to_project(group: Group) -> bool:
        tenants = table.facts(group).tenants
        return not tenants or project in tenants

    return table.group.where(("tenants", project), open_to_project, table.size)


def reason(table: HostTable, row: int, ask: Ask) -> str | None:
    """Why this host does not do, or None."""
    facts = table.facts_at(row)
    if not facts.tenants or ask.request.project_id in facts.tenants:
        return None
    return f"is kept for other projects by filter_tenant_id of {facts.named()}"


def phrase(table: HostTable, row: int, ask: Ask) -> Phrase:
    """The same for the user, for any number of such hosts."""
    return Phrase("is kept for other projects", "are kept for other projects")
