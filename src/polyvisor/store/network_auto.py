"""Networks for projects that name none: made on first need, of the default subnet pools, behind a router."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from polyvisor.model.errors import Conflict
from polyvisor.model.ip import default_pools, numbered, whole
from polyvisor.model.network import AutoAllocated, Network
from polyvisor.model.network_list import everything
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.router import GatewayWanted, Router
from polyvisor.model.subnet import Subnet
from polyvisor.model.subnet_pool import SubnetPool

if TYPE_CHECKING:
    from polyvisor.store.store import Store

NAME = "auto_allocated_network"


class AutoNetworks:
    """The statements on them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def check(self) -> list[SubnetPool]:
        """The default pools, one for each IP version that has one. Raises Conflict where there is none at all."""
        found = [self._store.subnet_pool.default(version) for version in (4, 6)]
        pools = [each for each in found if each is not None]
        if not pools:
            raise Conflict(
                "Unable to provide an automatic network: No default subnetpools defined. An administrator makes one "
                "with `openstack subnet pool create --default --share --pool-prefix CIDR NAME`.",
                kind="AutoAllocationFailure",
            )
        return pools

    def get_or_make(
        self, project_id: str, *, new_id: Callable[[], str], now: datetime, settings: NetworkSettings
    ) -> AutoAllocated:
        """What a project has, made where it has none. Raises Conflict where something that it takes is not there."""
        self._store.one_at_a_time(f"automatic network of {project_id}")
        found = self._store.network.auto_allocated(project_id)
        if found is not None:
            return found
        pools = self.check()
        network = Network(id=new_id(), project_id=project_id, name=NAME, mtu=0, created_at=now, updated_at=now)
        self._store.network.create(network, settings=settings)
        subnets = [self._subnet(network, pool, new_id(), now) for pool in pools]
        self._store.metadata_port.keep(network.id, now=now, settings=settings)
        router_id = self._router(project_id, subnets, new_id, now, settings)
        made = AutoAllocated(project_id=project_id, network_id=network.id, router_id=router_id)
        self._store.network.set_auto_allocated(made)
        return made

    def _subnet(self, network: Network, pool: SubnetPool, id: str, now: datetime) -> Subnet:
        held = self._store.subnet_pool.get(pool.id)
        size = 64 if pool.ip_version == 6 else None
        cidr = self._store.subnet_pool.allocate(held, network.project_id, cidr=None, prefixlen=size)
        gateway = numbered(whole(cidr)[0], pool.ip_version)
        mode = "slaac" if pool.ip_version == 6 else None
        record = Subnet(
            id=id,
            project_id=network.project_id,
            name=f"auto_allocated_subnet_v{pool.ip_version}",
            network_id=network.id,
            ip_version=pool.ip_version,
            cidr=cidr,
            gateway_ip=gateway,
            allocation_pools=default_pools(cidr, gateway),
            ipv6_ra_mode=mode,
            ipv6_address_mode=mode,
            subnetpool_id=pool.id,
            created_at=now,
            updated_at=now,
        )
        return self._store.subnet.create(record, now)

    def _router(
        self,
        project_id: str,
        subnets: list[Subnet],
        new_id: Callable[[], str],
        now: datetime,
        settings: NetworkSettings,
    ) -> str | None:
        """A router between the subnets and the default external network; None where there is no such network."""
        outside = self._store.network.list(everything(None, is_default="true", **{"router:external": "true"}))
        if not outside:
            return None
        router = Router(
            id=new_id(), project_id=project_id, name="auto_allocated_router", created_at=now, updated_at=now
        )
        self._store.router.create(router)
        wanted = GatewayWanted(network_id=outside[0].id)
        self._store.router_gateway.set(router, wanted, viewer=None, port_id=new_id(), now=now, settings=settings)
        for subnet in subnets:
            held = self._store.router.get(router.id)
            self._store.router_interface.add_subnet(
                held, subnet.id, viewer=None, port_id=new_id(), now=now, settings=settings
            )
        return router.id

    def delete(self, project_id: str, now: datetime) -> None:
        """Remove what was made for a project, where there is any. Raises Conflict while it is in use."""
        self._store.one_at_a_time(f"automatic network of {project_id}")
        found = self._store.network.auto_allocated(project_id)
        if found is None:
            return
        if found.router_id is not None and self._store.router.of_ids([found.router_id]):
            for subnet_id in self._store.network.get(found.network_id).subnet_ids:
                router = self._store.router.get(found.router_id)
                self._store.router_interface.remove(router, subnet_id=subnet_id, port_id=None, now=now)
            self._store.router.delete(self._store.router.get(found.router_id), now)
        self._store.network.delete(self._store.network.get(found.network_id), now)
