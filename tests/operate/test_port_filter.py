"""Hosts that filter by themselves are told what their ports let through: as a card is made, and whenever it changes."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from polyvisor.model.host import HostReport
from polyvisor.model.operation import CONTROL, OperationState
from polyvisor.model.port_filter import Permit, PortFilter
from polyvisor.model.security_group import SecurityGroupRule
from polyvisor.operate.controller import FILTER_SECONDS, Controller
from polyvisor.operate.reconcile.port_filter import AGAIN, PortFilters
from testbed.process import wait_for
from tests.operate.cloud import Cloud
from tests.operate.networks import put_port

PATIENCE_SECONDS = 180.0


class FilteringDriver:
    """The simulated driver, of hosts that make security groups hold by themselves."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.told: list[tuple[PortFilter, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def hosts(self) -> list[HostReport]:
        return [msgspec.structs.replace(host, port_filter="host") for host in self._driver.hosts()]

    def filter_ports(self, host: str, filters: Sequence[PortFilter]) -> int:
        self.told.append(tuple(filters))
        return len(filters)


@pytest.fixture
def cloud(tmp_path: Path, database_url: str) -> Iterator[Cloud]:
    made = Cloud(tmp_path, database_url=database_url, networked=True)
    yield made
    made.close()


@pytest.fixture
def driver(cloud: Cloud) -> FilteringDriver:
    """Of all hosts of the cloud."""
    filtering: Any = FilteringDriver(cloud.driver)
    cloud.driver = filtering
    cloud.take_inventory()
    assert isinstance(filtering, FilteringDriver)
    return filtering


def sweep(cloud: Cloud, filters: PortFilters) -> list[str]:
    """One sweep, and all that comes of it."""
    with cloud.database.write() as store:
        begun = filters.sweep(store, cloud.now, cloud.new_id)
    cloud.settle()
    return begun


def let_in(cloud: Cloud, **rule: Any) -> None:
    """A rule more in the project's default group."""
    with cloud.database.write() as store:
        group = store.security_group.get(store.security_group.default("p", cloud.now))
        made = SecurityGroupRule(
            id=cloud.new_id(), project_id="p", security_group_id=group.id, direction="ingress", protocol="tcp",
            created_at=cloud.now, updated_at=cloud.now, **rule,
        )  # fmt: skip
        store.security_group_rule.create(group, [made], cloud.now)


def test_a_card_is_made_with_what_its_port_lets_through(cloud: Cloud, driver: FilteringDriver) -> None:
    id = cloud.ask_for_server()
    cloud.settle()
    ports = cloud.ports(id)
    [guest] = cloud.simulated.estate.guests()
    addresses = sorted(address.ip_address for port in ports for address in port.fixed_ips)
    for port, nic in zip(ports, guest.nics, strict=True):
        assert nic.filter is not None
        assert nic.filter.port_id == port.id
        assert nic.filter.addresses == tuple(address.ip_address for address in port.fixed_ips)
        members = Permit(ingress=True, ethertype="IPv4", remotes=tuple(addresses))
        assert members in nic.filter.permits
    assert {port.binding.vif_details["stateful_filter"] for port in ports} == {False}


def test_a_host_whose_network_filters_is_told_nothing(cloud: Cloud) -> None:
    id = cloud.ask_for_server()
    cloud.settle()
    [guest] = cloud.simulated.estate.guests()
    assert [nic.filter for nic in guest.nics] == [None, None]
    assert {port.binding.vif_details["stateful_filter"] for port in cloud.ports(id)} == {True}
    assert sweep(cloud, PortFilters()) == []


def test_a_host_is_told_of_what_changes_and_of_nothing_else(cloud: Cloud, driver: FilteringDriver) -> None:
    filters = PortFilters()
    assert sweep(cloud, filters) == []  # it has no ports
    id = cloud.ask_for_server()
    cloud.settle()
    assert len(sweep(cloud, filters)) == 1
    assert sorted(each.port_id for each in driver.told[-1]) == sorted(port.id for port in cloud.ports(id))
    assert sweep(cloud, filters) == []
    let_in(cloud, port_range_min=22, port_range_max=22, remote_ip_prefix="192.0.2.0/24")
    assert len(sweep(cloud, filters)) == 1
    wanted = Permit(
        ingress=True, ethertype="IPv4", protocol="tcp", port_range_min=22, port_range_max=22,
        remotes=("192.0.2.0/24",),
    )  # fmt: skip
    assert all(wanted in each.permits for each in driver.told[-1])
    assert sweep(cloud, filters) == []
    assert not cloud.operations(OperationState.FAILED)


def test_a_port_that_joins_a_group_elsewhere_is_let_in(cloud: Cloud, driver: FilteringDriver) -> None:
    filters = PortFilters()
    cloud.ask_for_server()
    cloud.settle()
    sweep(cloud, filters)
    with cloud.database.write() as store:
        other = put_port(store, cloud.new_id(), cloud.network, cloud.now)
    assert len(sweep(cloud, filters)) == 1
    joined = other.fixed_ips[0].ip_address
    assert all(any(joined in (permit.remotes or ()) for permit in each.permits) for each in driver.told[-1])


def test_a_host_is_told_again_from_time_to_time_and_by_whoever_takes_over(
    cloud: Cloud, driver: FilteringDriver
) -> None:
    filters = PortFilters()
    cloud.ask_for_server()
    cloud.settle()
    assert len(sweep(cloud, filters)) == 1
    cloud.now += AGAIN
    assert len(sweep(cloud, filters)) == 1
    assert len(sweep(cloud, PortFilters())) == 1
    assert driver.told[0] == driver.told[1] == driver.told[2]


def test_a_host_is_told_of_a_change_long_before_the_next_sweep(
    cloud: Cloud, driver: FilteringDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polyvisor.operate.controller.SWEEP_SECONDS", 1e6)
    cloud.ask_for_server()
    cloud.settle()
    controller = Controller(cloud.database, cloud.engine, lambda: cloud.now, name="here")

    def until_told(times: int) -> None:
        def is_told() -> bool:
            cloud.database.signals.wake(CONTROL)
            cloud.settle()
            return len(driver.told) == times

        wait_for(is_told, PATIENCE_SECONDS, lambda: f"told {len(driver.told)} times")

    controller.start()
    try:
        until_told(1)
        cloud.now += timedelta(seconds=FILTER_SECONDS)
        let_in(cloud, port_range_min=22, port_range_max=22)
        until_told(2)
    finally:
        controller.stop()


def test_a_driver_that_does_not_filter_fails_in_a_sentence(cloud: Cloud, driver: FilteringDriver) -> None:
    cloud.ask_for_server()
    cloud.settle()
    cloud.driver = cloud.simulated
    sweep(cloud, PortFilters())
    [failed] = cloud.operations(OperationState.FAILED)
    assert "leaves security groups to the network backend" in failed.error
