"""Brings security groups to the ports of one host that makes them hold by itself."""

from polyvisor.hypervisor.driver import with_port_filter
from polyvisor.model.order import HostFilterPorts
from polyvisor.model.port_filter import PortFilter
from polyvisor.model.record import Record
from polyvisor.operate.definition import Operation, Run, control, place_of
from polyvisor.store.port_permit import filters_at

host_filter_ports = Operation("host.filter_ports", HostFilterPorts)


class Gathered(Record):
    """What the ports of the host let through."""

    place: str
    filters: tuple[PortFilter, ...]


@host_filter_ports.step(at=control)
def gather(run: Run[HostFilterPorts]) -> Gathered:
    """As the groups are now, not as they were when this was begun."""
    host = run.store.host.get(run.args.host)
    return Gathered(place=host.place, filters=filters_at(run.store, [host.name])[host.name])


@host_filter_ports.step(at=place_of(gather))
def bring(run: Run[HostFilterPorts]) -> int:
    """Make the ports obey; returns how many did not."""
    return with_port_filter(run.driver).filter_ports(run.args.host, run.of(gather).filters)
