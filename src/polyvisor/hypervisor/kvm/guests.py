"""Guests as libvirt has them: whose they are, and which power state they are in."""

from typing import Any

from polyvisor.hypervisor.kvm.domain_xml import NAMESPACE
from polyvisor.hypervisor.kvm.errors import is_missing
from polyvisor.hypervisor.kvm.xml import parse
from polyvisor.model.guest import GuestReport
from polyvisor.model.power import Power

TRIAL = "trial"
"""The name of the metadata element of the guest that tries whether KVM works; it is nobody's."""


def find(link: Any, server_id: str) -> Any | None:
    """The guest with this id, whoever made it; None where there is none."""
    import libvirt

    try:
        return link.lookupByUUIDString(server_id)
    except libvirt.libvirtError as error:
        if is_missing(error):
            return None
        raise


def owner(domain: Any) -> str | None:
    """The id of the cloud that made the guest; "" for a trial guest; None for one that no Polyvisor made, or that has
    gone."""
    import libvirt

    try:
        text = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE, 0)
    except libvirt.libvirtError as error:
        if is_missing(error) or error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            return None
        raise
    mark = parse(text)
    return "" if mark.tag == TRIAL else mark.get("cloud")


def look(link: Any, host: str, cloud_id: str, server_id: str) -> GuestReport | None:
    """One guest of ours, read afresh."""
    import libvirt

    domain = find(link, server_id)
    if domain is None or owner(domain) != cloud_id:
        return None
    try:
        state, reason = domain.state()
        saved = bool(domain.hasManagedSaveImage())
        return GuestReport(server_id=server_id, name=_title(domain), host=host, power=power(state, reason, saved=saved))
    except libvirt.libvirtError as error:
        if is_missing(error):
            return None
        raise


def sweep(link: Any, host: str, cloud_id: str) -> list[GuestReport]:
    """Every guest of the host. States come in one call; whose a guest is takes a short call each."""
    import libvirt

    saved = {domain.UUIDString() for domain in link.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE)}
    reports = []
    for domain, stats in link.getAllDomainStats(
        libvirt.VIR_DOMAIN_STATS_STATE, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
    ):
        mine = owner(domain)
        if mine == "":
            continue
        identity = domain.UUIDString()
        reports.append(
            GuestReport(
                server_id=identity if mine == cloud_id else None,
                name=_title(domain) if mine == cloud_id else domain.name(),
                host=host,
                power=power(stats["state.state"], stats["state.reason"], saved=identity in saved),
            )
        )
    return reports


def _title(domain: Any) -> str:
    """The server's name; the guest's where it has gone meanwhile."""
    import libvirt

    try:
        return str(domain.metadata(libvirt.VIR_DOMAIN_METADATA_TITLE, None, 0))
    except libvirt.libvirtError:
        return str(domain.name())


def power(state: int, reason: int, *, saved: bool = False) -> Power:
    """The power of a guest in libvirt's state (virDomainState, with its reason); `saved`: its memory lies on disk."""
    import libvirt

    if state in (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED, libvirt.VIR_DOMAIN_SHUTDOWN):
        return Power.ON
    if state == libvirt.VIR_DOMAIN_PAUSED:
        if reason == libvirt.VIR_DOMAIN_PAUSED_CRASHED:
            return Power.CRASHED
        # libvirt stops the guest for a moment or longer in the course of these: it counts as it did before.
        passing = (
            libvirt.VIR_DOMAIN_PAUSED_SAVE,
            libvirt.VIR_DOMAIN_PAUSED_DUMP,
            libvirt.VIR_DOMAIN_PAUSED_MIGRATION,
            libvirt.VIR_DOMAIN_PAUSED_SNAPSHOT,
            libvirt.VIR_DOMAIN_PAUSED_SHUTTING_DOWN,
            libvirt.VIR_DOMAIN_PAUSED_STARTING_UP,
            libvirt.VIR_DOMAIN_PAUSED_FROM_SNAPSHOT,
        )
        return Power.ON if reason in passing else Power.PAUSED
    if state == libvirt.VIR_DOMAIN_SHUTOFF:
        if saved:
            return Power.SUSPENDED
        return Power.CRASHED if reason == libvirt.VIR_DOMAIN_SHUTOFF_CRASHED else Power.OFF
    if state == libvirt.VIR_DOMAIN_PMSUSPENDED:
        return Power.SUSPENDED
    return Power.CRASHED if state == libvirt.VIR_DOMAIN_CRASHED else Power.UNKNOWN
