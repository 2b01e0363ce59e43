"""Taking a server from one host to another: what evacuation and cold moves share."""

from datetime import datetime

import msgspec

from polyvisor.model.claim import Claim
from polyvisor.model.errors import Conflict, NotFound
from polyvisor.model.host import Host, HypervisorType, disks_shared
from polyvisor.model.image import ImageStatus
from polyvisor.model.migration import Migration, MigrationStatus, MigrationType
from polyvisor.model.nic import Nic
from polyvisor.model.operation import Operation as Row
from polyvisor.model.order import ServerCreate
from polyvisor.model.place import PlaceRequest, Plan
from polyvisor.model.record import Record
from polyvisor.model.server import Server
from polyvisor.operate import server_ports
from polyvisor.operate.guest_remove import places_with_remains
from polyvisor.operate.tools import ControlTools
from polyvisor.store.store import Store


class Left(Record):
    """Where the server comes from, and how it was there."""

    host: str
    place: str
    zone: str
    """Of that host."""
    runs: bool
    """Whether it is to run once it has arrived."""
    keeps_disks: bool
    """Whether other hosts reach its disks; else they are made anew."""
    nics: tuple[Nic, ...] = ()
    """Its ports, as they are plugged there."""


class Arriving(Record):
    """Where it goes."""

    host: str
    place: str
    zone: str
    nics: tuple[Nic, ...] = ()
    """Its ports, as they will be plugged there: they are bound to it shortly before it starts there."""


class HostChanged(Exception):
    """The chosen host has changed since the plan was made."""


def sharing_hosts(source: Host, hosts: list[Host]) -> list[Host]:
    """The other hosts that reach the files of this one's guests."""
    return [each for each in hosts if each.name != source.name and disks_shared(source.report, each.report)]


def image_is_there(store: Store, server: Server) -> bool:
    """Whether a server can be made anew from its image."""
    if server.image is None:
        return False
    try:
        return store.image.get(server.image.id).status is ImageStatus.ACTIVE
    except NotFound:
        return False


def request_for(server: Server) -> PlaceRequest:
    """What the server needs of a host, wherever it goes."""
    return PlaceRequest(
        server_id=server.id,
        project_id=server.project_id,
        vcpus=server.flavor.vcpus,
        memory_mib=server.flavor.memory_mib,
        disk_gib=server.disk_gib,
        image=server.image,
        extra_specs=server.flavor.extra_specs,
        zone=server.zone_requested,
    )


def as_order(server: Server, project_name: str, admin_password: str = "") -> ServerCreate:
    """The order to make this server's guest anew."""
    return ServerCreate(
        server=server, request=request_for(server), project_name=project_name, admin_password=admin_password
    )


def record(store: Store, row: Row, server: Server, left: Left, kind: MigrationType, now: datetime) -> None:
    """List the migration, under the id of its operation."""
    store.migration.record(
        Migration(
            id=0,
            uuid=row.id,
            server_id=server.id,
            project_id=server.project_id,
            user_id=row.user_id,
            type=kind,
            status=MigrationStatus.ACCEPTED,
            source_host=left.host,
            source_place=left.place,
            disks_kept=left.keeps_disks,
            created_at=row.created_at,
            updated_at=now,
        ),
        server.flavor.id,
    )


def claim_elsewhere(
    store: Store, tools: ControlTools, row: Row, request: PlaceRequest, left: Left, now: datetime
) -> Arriving:
    """Choose a host, and move the server's claim there.

    Raises NoHost, and HostChanged where the host is not as it was any more (choose again); then the claim is where it
    was.
    """
    ports = store.server.get(request.server_id).ports
    request = msgspec.structs.replace(
        request, passed_over=_passed_over(store, request, left), networks=server_ports.needs(store, ports)
    )
    with store.savepoint():
        _give_back(store, tools, request.server_id)
        plan = tools.estate.plan(store, request, tools.chance.getrandbits(32))
        if not store.host.claim(_wanted(request, plan.host), plan):
            raise HostChanged
    tools.estate.claimed(store, plan.host)
    target = store.host.get(plan.host)
    store.server.change(
        request.server_id, host=plan.host, place=plan.place, zone=target.zone, member="", updated_at=now
    )
    store.migration.change(
        row.id,
        status=MigrationStatus.PREPARING,
        target_host=plan.host,
        target_place=plan.place,
        target_address=target.report.address,
        updated_at=now,
    )
    return Arriving(host=plan.host, place=plan.place, zone=target.zone, nics=server_ports.nics(store, ports, target))


def claim_back(store: Store, tools: ControlTools, request: PlaceRequest, left: Left, now: datetime) -> None:
    """The server is where it was: what it needs is held there again, even where that is more than there is."""
    server = store.server.get(request.server_id, deleted=True)
    if server.host == left.host:
        return
    _give_back(store, tools, server.id)
    try:
        host = store.host.get(left.host)
    except NotFound:
        store.server.change(server.id, host=None, place=None, zone="", member="", updated_at=now)
        return
    plan = Plan(host=host.name, place=host.place, generation=host.generation)
    if not store.host.claim(_wanted(request, host.name), plan):
        raise Conflict(f"Host {host.name} changed at this very moment; it is tried again.")
    tools.estate.claimed(store, host.name)
    store.server.change(server.id, host=left.host, place=left.place, zone=left.zone, member="", updated_at=now)


def plug(store: Store, server_id: str, host: str, now: datetime) -> None:
    """The server's ports are bound to this host; to none where it is no more. Raises Conflict where it cannot carry
    their networks."""
    ports = store.server.get(server_id, deleted=True).ports
    try:
        server_ports.bind(store, ports, store.host.get(host), now)
    except NotFound:
        server_ports.unbind(store, ports, now)


def _give_back(store: Store, tools: ControlTools, server_id: str) -> None:
    released = store.host.release(server_id)
    if released is not None:
        tools.estate.claimed(store, released)


def _wanted(request: PlaceRequest, host: str) -> Claim:
    return Claim(
        server_id=request.server_id,
        host=host,
        vcpus=request.vcpus,
        memory_mib=request.memory_mib,
        disk_gib=request.disk_gib,
    )


_FAMILY = {HypervisorType.QEMU: HypervisorType.KVM}


def _family(host: Host) -> HypervisorType:
    kind = host.report.hypervisor_type
    return _FAMILY.get(kind, kind)


def _passed_over(store: Store, request: PlaceRequest, left: Left) -> dict[str, str]:
    """The hosts that do not do for this server, each with the reason. A fixed number of statements."""
    hosts = {host.name: host for host in store.host.list()}
    source = hosts.get(left.host)
    unclean = places_with_remains(store, request.server_id)
    found = {}
    for name, host in hosts.items():
        if name == left.host:
            found[name] = "is the host that the server leaves"
        elif source is not None and _family(host) is not _family(source):
            found[name] = f"runs {_family(host)}, and the host that the server leaves runs {_family(source)}"
        elif host.place in unclean:
            found[name] = "may still hold an old guest of this server, which is removed there first"
        elif left.keeps_disks and (source is None or not disks_shared(source.report, host.report)):
            found[name] = f"does not reach the disks of {left.host}'s servers"
    return found
