"""Creating servers: what a request may ask for, and the records and operations that follow from it."""

import math
import secrets
from typing import Any

import msgspec

from polyvisor.api.compute.fields import address
from polyvisor.api.compute.server_asked import (
    Asked,
    Body,
    BodyFrom219,
    check_offered,
    checked_hostname,
    counts,
    hostname_of,
    truth,
)
from polyvisor.api.compute.server_network import as_bad_request, groups_of, plugged, wishes
from polyvisor.api.compute.server_view import links
from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.model.errors import Invalid, NotFound
from polyvisor.model.flavor import Flavor
from polyvisor.model.image import Image, ImageRef, ImageStatus
from polyvisor.model.order import ServerCreate
from polyvisor.model.place import PlaceRequest
from polyvisor.model.server import Server, TaskState

server_create = Resource("/servers")

RULES = [
    Rule(
        name="os_compute_api:servers:create",
        check="rule:project_member_or_admin",
        description="Create servers.",
    ),
    Rule(
        name="os_compute_api:servers:create:forced_host",
        check="rule:context_is_admin",
        description="Force a server onto one host, by an availability zone of the form zone:host.",
    ),
    Rule(
        name="compute:servers:create:requested_destination",
        check="rule:context_is_admin",
        description="Ask for one host or hypervisor by name, from microversion 2.74 on.",
    ),
]


@server_create.route(
    "POST",
    policy="os_compute_api:servers:create",
    body={(2, 1): Body, (2, 19): BodyFrom219},
    max_body_bytes=512 * 1024,
)
def create(call: Call) -> Reply:
    """Record the servers and their operations, and answer with the first one's id."""
    asked: Asked = call.body.server
    check_offered(call, asked)
    if call.body.hints or call.body.old_hints:
        raise Invalid("Scheduler hints are not offered by this cloud yet: leave 'os:scheduler_hints' out.")
    flavor = _flavor(call, str(asked.flavorRef))
    image = _image(call, asked)
    _check_fit(flavor, image)
    least, most = counts(asked)
    call.store.quota.check(
        call.project_id,
        instances=least,
        cores=least * flavor.vcpus,
        ram=least * flavor.memory_mib,
    )
    call.store.quota.check_items(call.project_id, metadata_items=len(asked.metadata))
    count = call.store.quota.most_servers(call.project_id, most, cores=flavor.vcpus, ram=flavor.memory_mib)
    password = asked.adminPass or secrets.token_urlsafe(9)
    reservation_id = "r-" + call.new_id().replace("-", "")[:8]
    base = _base(call, asked, flavor, image, reservation_id)
    servers = _with_ports(call, asked, [_nth(call, base, asked, index, most) for index in range(count)], most)
    call.store.server.create(servers)
    for server in servers:
        _begin(call, server, _place_request(call, asked, server), password)
    if truth(asked.return_reservation_id):
        return Reply(202, {"reservation_id": reservation_id})
    first = servers[0]
    shown: dict[str, Any] = {
        "id": first.id,
        "links": links(call, "servers", first.id),
        "OS-DCF:diskConfig": first.disk_config,
        "security_groups": [{"name": "default"}] if asked.security_groups is None else asked.security_groups,
        "adminPass": password,
    }
    return Reply(202, {"server": shown}, headers={"Location": call.url(f"/servers/{first.id}")})


_BAD_NETWORKS = (
    "NetworkNotFound",
    "PortNotFound",
    "SecurityGroupNotFound",
    "IpAddressAlreadyAllocated",
    "IpAddressGenerationFailure",
)


def _with_ports(call: Call, asked: Asked, servers: list[Server], most: int) -> list[Server]:
    """The servers with the ports that are made and taken for them."""
    with as_bad_request(*_BAD_NETWORKS):
        wanted = wishes(call, asked, most)
        if not wanted:
            return servers
        names = [each.get("name", "") for each in asked.security_groups or ()]
        return plugged(call, servers, wanted, groups_of(call, names) if names else None)


def _flavor(call: Call, id: str) -> Flavor:
    try:
        return call.store.flavor.get(id, project_id=call.owner)
    except NotFound:
        raise Invalid(f"Flavor {id} could not be found: choose one that the list of flavors shows.") from None


def _image(call: Call, asked: Asked) -> Image:
    id = asked.imageRef
    if not id:
        raise Invalid("The field 'server.imageRef' is required: this cloud boots servers from images.")
    try:
        image = call.store.image.get(id.rsplit("/", 1)[-1], project_id=call.owner)
    except NotFound:
        raise Invalid(f"Can not find requested image {id}: choose one that the list of images shows.") from None
    if image.status is not ImageStatus.ACTIVE:
        raise Invalid(f"Image {image.id} is not active, but {image.status}: wait until it is, or upload its data.")
    return image


def _check_fit(flavor: Flavor, image: Image) -> None:
    if image.min_ram_mib > flavor.memory_mib:
        raise Invalid(
            f"Flavor's memory is too small for requested image: "
            f"it has {flavor.memory_mib} MiB, and the image asks for {image.min_ram_mib} MiB."
        )
    needed = max(image.min_disk_gib, math.ceil((image.virtual_size_bytes or 0) / 1024**3))
    if flavor.root_gib and needed > flavor.root_gib:
        raise Invalid(
            "Flavor's disk is too small for requested image: "
            f"it has {flavor.root_gib} GiB, and the image needs {needed} GiB."
        )


def _base(call: Call, asked: Asked, flavor: Flavor, image: Image, reservation_id: str) -> Server:
    key_data = ""
    if asked.key_name is not None:
        try:
            key_data = call.store.keypair.get(call.caller.user_id, asked.key_name).public_key
        except NotFound:
            raise Invalid(f"Invalid key_name provided: you have no key pair {asked.key_name!r}.") from None
    zone, _ = _zone_and_host(call, asked)
    wants_drive = truth(asked.config_drive) or image.properties.get("img_config_drive") == "mandatory"
    return Server(
        id="",
        name=asked.name,
        project_id=call.project_id,
        user_id=call.caller.user_id,
        hostname="",
        description=asked.description,
        flavor=flavor,
        image=image_ref(image),
        key_name=asked.key_name,
        key_data=key_data,
        user_data=asked.user_data or "",
        config_drive=wants_drive,
        metadata=asked.metadata,
        tags=tuple(dict.fromkeys(asked.tags)),
        zone_requested=zone,
        reservation_id=reservation_id,
        task_state=TaskState.SCHEDULING,
        access_ipv4=address(asked.accessIPv4, 4, "server.accessIPv4"),
        access_ipv6=address(asked.accessIPv6, 6, "server.accessIPv6"),
        disk_config=asked.disk_config,
        created_at=call.now,
        updated_at=call.now,
    )


def image_ref(image: Image) -> ImageRef:
    """What a server keeps of its image."""
    return ImageRef(
        id=image.id,
        disk_format=image.disk_format or "",
        container_format=image.container_format or "",
        subformat=image.subformat,
        size_bytes=image.size_bytes or 0,
        virtual_size_bytes=image.virtual_size_bytes or 0,
        sha512=image.hash_value or "",
        min_disk_gib=image.min_disk_gib,
        properties=image.properties,
    )


def _nth(call: Call, base: Server, asked: Asked, index: int, most: int) -> Server:
    id = call.new_id()
    name = f"{base.name}-{index + 1}" if most > 1 else base.name
    hostname = (
        checked_hostname(f"{asked.hostname}-{index + 1}" if most > 1 else asked.hostname, call)
        if asked.hostname
        else ""
    )
    return msgspec.structs.replace(
        base, id=id, name=name, launch_index=index, hostname=hostname or hostname_of(name, id)
    )


def _zone_and_host(call: Call, asked: Asked) -> tuple[str | None, str | None]:
    """The zone, and the host named after it: "zone:host" or "zone:host:node", for those whom policy lets force it."""
    zone, _, rest = (asked.availability_zone or "").partition(":")
    host = rest.rpartition(":")[2] or rest.partition(":")[0]
    if host:
        call.require("os_compute_api:servers:create:forced_host")
    if zone and zone not in call.store.aggregate.zones():
        raise Invalid(f"The requested availability zone is not available: there is none named {zone}.")
    return zone or None, host or None


def _place_request(call: Call, asked: Asked, server: Server) -> PlaceRequest:
    _, forced = _zone_and_host(call, asked) if ":" in (asked.availability_zone or "") else (None, None)
    named = [each for each in (asked.host, asked.hypervisor_hostname) if each]
    if named:
        call.require("compute:servers:create:requested_destination")
        known = {host.name for host in call.store.host.list()}
        for each in named:
            if each not in known:
                raise Invalid(f"Compute host {each} could not be found: choose one that the list of hypervisors shows.")
        if len(set(named)) > 1:
            raise Invalid("No valid host was found: 'host' and 'hypervisor_hostname' name different hypervisors.")
    flavor = server.flavor
    return PlaceRequest(
        server_id=server.id,
        project_id=server.project_id,
        vcpus=flavor.vcpus,
        memory_mib=flavor.memory_mib,
        disk_gib=server.disk_gib,
        image=server.image,
        extra_specs=flavor.extra_specs,
        zone=server.zone_requested,
        host=forced or (named[0] if named else None),
        force=forced is not None,
    )


def _begin(call: Call, server: Server, request: PlaceRequest, password: str) -> None:
    order = ServerCreate(
        server=server,
        request=request,
        project_name=call.caller.project_name or "",
        admin_password=password if server.config_drive else "",
    )
    operation_id = call.new_id()
    call.name(server_id=server.id, operation_id=operation_id)
    call.store.operation.begin(
        id=operation_id,
        kind="server.create",
        target_id=server.id,
        project_id=server.project_id,
        user_id=server.user_id,
        request_id=call.request_id,
        args=msgspec.to_builtins(order),
        now=call.now,
        alone=True,
    )
