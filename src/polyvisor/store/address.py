"""The addresses of ports: which are free, and who has them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update

from polyvisor.model.errors import Conflict, Invalid
from polyvisor.model.ip import after, from_mac, is_automatic, key_of, numbered, ranges, read_address, usable
from polyvisor.model.port import ROUTER_INTERFACE, FixedIp, WantedIp
from polyvisor.model.subnet import Subnet
from polyvisor.store.port_tables import port_address
from polyvisor.store.subnet import subnet as subnet_table

if TYPE_CHECKING:
    from polyvisor.store.store import Store

_WINDOW, _LARGEST = 256, 16_384
_used = (
    select(port_address.c.key)
    .where(port_address.c.subnet_id == bindparam("of"))
    .where(port_address.c.key.between(bindparam("first"), bindparam("last")))
)
_last_key = select(subnet_table.c.last_key).where(subnet_table.c.id == bindparam("of"))
_set_last_key = update(subnet_table).where(subnet_table.c.id == bindparam("of")).values(last_key=bindparam("last_key"))
_holder = select(port_address.c.port_id).where(
    port_address.c.subnet_id == bindparam("of"), port_address.c.key == bindparam("at")
)


class Addresses:
    """Gives addresses out within one transaction, whose networks the caller has locked."""

    def __init__(self, store: Store, subnets: Iterable[Subnet]) -> None:
        """`subnets`: all of the networks that ports are made on or changed on."""
        self._sql = store.connection
        self._by_id = {each.id: each for each in subnets}
        self._by_network: dict[str, list[Subnet]] = {}
        for each in self._by_id.values():
            self._by_network.setdefault(each.network_id, []).append(each)
        self._free: dict[str, Iterator[int]] = {}
        self._taken: dict[str, set[str]] = {}
        """Keys by subnet that this transaction has given out."""
        self._last: dict[str, str] = {}

    def claim(
        self,
        network_id: str,
        wanted: tuple[WantedIp, ...] | None,
        *,
        mac_address: str,
        device_owner: str,
        kept: Sequence[FixedIp] = (),
    ) -> tuple[FixedIp, ...]:
        """The addresses that a port gets; of `kept`, which it has, those that are wanted stay.

        `wanted` as in PortWanted. Raises Invalid and Conflict in Neutron's words.
        """
        subnets = self._by_network.get(network_id, [])
        if wanted == ():
            return ()
        router = device_owner.startswith(ROUTER_INTERFACE)
        found: list[FixedIp] = []
        if wanted is None:
            serving = [each for each in subnets if _serves(each, device_owner)]
            for version in (4, 6):
                pooled = [each for each in serving if each.ip_version == version and not is_automatic(each)]
                if pooled:
                    found.append(self._any_of(pooled, network_id))
        else:
            certain = {_canonical(each.ip_address) for each in wanted if each.ip_address is not None}
            left = [each for each in kept if each.ip_address not in certain]
            claim = _Claim(network_id, subnets, mac_address, router, kept, left)
            found = [self._one(claim, each) for each in wanted]
        if not router:
            named = {each.subnet_id for each in found}
            for each in subnets:
                if is_automatic(each) and each.id not in named and _serves(each, device_owner):
                    found.append(self._automatic(each, mac_address, kept))
        if len({(each.subnet_id, each.ip_address) for each in found}) < len(found):
            raise Invalid("The same address is asked for twice in 'fixed_ips'.", kind="InvalidInput")
        return tuple(found)

    def _one(self, claim: _Claim, wanted: WantedIp) -> FixedIp:
        if wanted.ip_address is None:
            subnet = self._subnet(claim.network_id, wanted.subnet_id)
            for each in claim.left:
                if each.subnet_id == subnet.id:
                    claim.left.remove(each)
                    return each
            if is_automatic(subnet) and not claim.router:
                return self._automatic(subnet, claim.mac_address, claim.kept)
            return self._any_of([subnet], claim.network_id)
        address = _canonical(wanted.ip_address)
        if wanted.subnet_id is None:
            subnet = _containing(claim.subnets, address)
        else:
            subnet = self._subnet(claim.network_id, wanted.subnet_id)
            if not usable(address, subnet.cidr):
                raise Invalid(
                    f"IP address {address} is not a valid IP for the specified subnet {subnet.id}, {subnet.cidr}.",
                    kind="InvalidIpForSubnet",
                )
        if is_automatic(subnet) and not claim.router and address != from_mac(subnet.cidr, claim.mac_address):
            raise Invalid(
                f"IPv6 address {address} can not be directly assigned to a port on subnet {subnet.id} as the subnet "
                "is configured for automatic addresses: give the subnet alone.",
                kind="AllocationOnAutoAddressSubnet",
            )
        chosen = FixedIp(subnet_id=subnet.id, ip_address=address)
        if chosen not in claim.kept:
            self._take(subnet, address)
        return chosen

    def _subnet(self, network_id: str, subnet_id: str | None) -> Subnet:
        found = self._by_id.get(subnet_id or "")
        if found is None or found.network_id != network_id:
            raise Invalid(
                f"Failed to create port on network {network_id}, because fixed_ips included invalid subnet "
                f"{subnet_id}.",
                kind="InvalidInput",
            )
        return found

    def _automatic(self, subnet: Subnet, mac_address: str, kept: Sequence[FixedIp]) -> FixedIp:
        chosen = FixedIp(subnet_id=subnet.id, ip_address=from_mac(subnet.cidr, mac_address))
        if chosen not in kept:
            # Nobody is asked whether it is free: it follows from the MAC address, which the port has alone.
            self._taken.setdefault(subnet.id, set()).add(key_of(chosen.ip_address))
        return chosen

    def _take(self, subnet: Subnet, address: str) -> None:
        """A certain address. Raises Conflict where another port has it."""
        key = key_of(address)
        given = self._taken.setdefault(subnet.id, set())
        if key in given or self._sql.execute(_holder, {"of": subnet.id, "at": key}).first() is not None:
            raise Conflict(
                f"IP address {address} already allocated in subnet {subnet.id}: choose another one, or leave it out.",
                kind="IpAddressAlreadyAllocated",
            )
        given.add(key)

    def _any_of(self, subnets: Sequence[Subnet], network_id: str) -> FixedIp:
        """A free address of the first of these subnets that has one. Raises Conflict where none has."""
        for subnet in subnets:
            given = self._taken.setdefault(subnet.id, set())
            if subnet.id not in self._free:
                self._free[subnet.id] = self._walk(subnet)
            for number in self._free[subnet.id]:
                address = numbered(number, subnet.ip_version)
                key = key_of(address)
                if key not in given:
                    given.add(key)
                    self._last[subnet.id] = key
                    return FixedIp(subnet_id=subnet.id, ip_address=address)
        names = ", ".join(each.id for each in subnets)
        raise Conflict(
            f"No more IP addresses available on network {network_id}: the allocation pools of {names} are used up.",
            kind="IpAddressGenerationFailure",
        )

    def _walk(self, subnet: Subnet) -> Iterator[int]:
        """Free addresses of the pools, in turn from the one that was given out last, wider and wider at a time."""
        last = self._sql.execute(_last_key, {"of": subnet.id}).scalar() or ""
        digits = 8 if subnet.ip_version == 4 else 32
        window = _WINDOW
        for first, end in after(ranges(subnet.allocation_pools), int(last, 16) if last else None):
            at = first
            while at <= end:
                until = min(at + window - 1, end)
                bounds = {"of": subnet.id, "first": f"{at:0{digits}x}", "last": f"{until:0{digits}x}"}
                used = {int(key, 16) for key in self._sql.execute(_used, bounds).scalars()}
                yield from (number for number in range(at, until + 1) if number not in used)
                at, window = until + 1, min(window * 4, _LARGEST)

    # What is written of it

    def record(self, ports: Mapping[str, Iterable[FixedIp]]) -> None:
        """Write down addresses that ports got, by the ports' ids."""
        rows = [_row(id, each) for id, fixed in ports.items() for each in fixed]
        self._write(rows)

    def change(self, port_id: str, before: Collection[FixedIp], now: Collection[FixedIp]) -> None:
        """A port has other addresses from now on."""
        for each in before:
            if each not in now:
                where = (port_address.c.subnet_id == each.subnet_id, port_address.c.key == key_of(each.ip_address))
                self._sql.execute(delete(port_address).where(*where))
        self._write([_row(port_id, each) for each in now if each not in before])

    def _write(self, rows: list[dict[str, str]]) -> None:
        if rows:
            self._sql.execute(insert(port_address), rows)
        if self._last:
            self._sql.execute(_set_last_key, [{"of": id, "last_key": key} for id, key in self._last.items()])
            self._last.clear()


class _Claim(NamedTuple):
    """One port's wishes, with what it has."""

    network_id: str
    subnets: list[Subnet]
    mac_address: str
    router: bool
    kept: Sequence[FixedIp]
    left: list[FixedIp]
    """Those of `kept` that may stand for "any address of that subnet"."""


def _row(port_id: str, fixed: FixedIp) -> dict[str, str]:
    return {
        "subnet_id": fixed.subnet_id,
        "key": key_of(fixed.ip_address),
        "port_id": port_id,
        "ip_address": fixed.ip_address,
    }


def _serves(subnet: Subnet, device_owner: str) -> bool:
    """Whether the subnet is for ports of this owner."""
    return not subnet.service_types or any(
        device_owner == kind or (kind == "compute:nova" and device_owner.startswith("compute:"))
        for kind in subnet.service_types
    )


def _canonical(address: str) -> str:
    try:
        return read_address(address)
    except ValueError:
        raise Invalid(f"'{address[:64]}' is not a valid IP address.", kind="InvalidInput") from None


def _containing(subnets: Iterable[Subnet], address: str) -> Subnet:
    for subnet in subnets:
        if usable(address, subnet.cidr):
            return subnet
    raise Invalid(
        f"IP address {address} is not a valid IP for any of the subnets on the specified network.",
        kind="InvalidIpForNetwork",
    )
