"""What a router can connect: subnets that do not overlap, and routes whose next hops it reaches."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_network

from polyvisor.model.errors import Conflict, Invalid
from polyvisor.model.ip import overlapping, ranges
from polyvisor.model.router import Interface
from polyvisor.model.subnet import HostRoute, Subnet


def inside(address: str, cidr: str) -> bool:
    """Whether an address is one of a range."""
    return ip_address(address) in ip_network(cidr)


def in_pools(address: str, subnet: Subnet) -> bool:
    """Whether an address is one that ports of a subnet are given by themselves."""
    number = int(ip_address(address))
    return any(first <= number <= last for first, last in ranges(subnet.allocation_pools))


def refuse_overlap(new: Iterable[Subnet], connected: Collection[Subnet]) -> None:
    """Raise Invalid where a router that reaches `connected` cannot reach `new` as well."""
    for subnet in new:
        for other in connected:
            if subnet.id == other.id:
                raise Invalid(f"Bad router request: Router already has a port on subnet {subnet.id}.")
            if overlapping(subnet.cidr, other.cidr):
                raise Invalid(
                    f"Bad router request: Cidr {subnet.cidr} of subnet {subnet.id} overlaps with cidr {other.cidr} "
                    f"of subnet {other.id}."
                )


def refuse_scopes(new: Iterable[Subnet], connected: Iterable[Subnet], scopes: Mapping[str, str]) -> None:
    """Raise Conflict where a router would connect two address scopes. `scopes`: by the ids of subnet pools.

    Neutron connects such subnets, and lets no packet pass between them.
    """
    for subnet in new:
        own = scopes.get(subnet.subnetpool_id or "")
        for other in connected:
            theirs = scopes.get(other.subnetpool_id or "")
            if own and theirs and own != theirs and other.ip_version == subnet.ip_version:
                raise Conflict(
                    f"Subnet {subnet.id} is of address scope {own}, and subnet {other.id}, which "
                    f"the router is on, of address scope {theirs}: between scopes nothing is routed. Use another "
                    "router.",
                    kind="RouterInterfaceAddressScopeConflict",
                )


def check_routes(routes: Sequence[HostRoute], connected: Collection[Subnet], interfaces: Iterable[Interface]) -> None:
    """Raise Invalid for a route whose next hop is on none of the router's subnets, or is the router itself."""
    own = {fixed.ip_address for interface in interfaces for fixed in interface.fixed_ips}
    for route in routes:
        where = f"{route.destination} via {route.nexthop}"
        if not any(inside(route.nexthop, subnet.cidr) for subnet in connected):
            raise Invalid(
                f"Invalid format for routes: {where}, the nexthop is not connected with router.", kind="InvalidRoutes"
            )
        if route.nexthop in own:
            raise Invalid(f"Invalid format for routes: {where}, the nexthop is used by router.", kind="InvalidRoutes")


def refuse_routes_through(router_id: str, subnet: Subnet, routes: Iterable[HostRoute]) -> None:
    """Raise Conflict where a route's next hop is on the subnet, which cannot go then."""
    if any(inside(route.nexthop, subnet.cidr) for route in routes):
        raise Conflict(
            f"Router interface for subnet {subnet.id} on router {router_id} cannot be deleted, as it is required by "
            "one or more routes: remove those first.",
            kind="RouterInterfaceInUseByRoute",
        )
