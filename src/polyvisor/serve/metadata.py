"""Wires the metadata service of hosts: whose guests it hears, and which switch it is plugged into."""

from collections.abc import Callable, Sequence

from polyvisor.network.metadata.plugs import OpenVSwitchPlugs
from polyvisor.network.metadata.switch import OpenVSwitch
from polyvisor.operate.metadata_link import MetadataLink
from polyvisor.operate.metadata_station import MetadataStation
from polyvisor.serve.configuration import HypervisorSettings
from polyvisor.serve.hypervisors import settings_of

Make = Callable[[MetadataLink], MetadataStation]


def station_maker(hypervisors: Sequence[HypervisorSettings]) -> Make | None:
    """What makes the station of a process that serves these hypervisors; None where none of them is a KVM host.

    Guests of other kinds are answered by the chassis that are their networks' gateways. Raises Invalid for settings
    without sense.
    """
    from polyvisor.hypervisor.kvm.settings import KvmSettings

    hosts = [settings_of(each, KvmSettings) for each in hypervisors if each.driver == "kvm"]
    if not hosts:
        return None
    # A machine has one integration bridge, however many libvirtds there are.
    switch = OpenVSwitch(hosts[0].integration_bridge, hosts[0].openvswitch_database)
    database = hosts[0].openvswitch_database
    return lambda link: MetadataStation(link, switch, plugs=OpenVSwitchPlugs(database))
