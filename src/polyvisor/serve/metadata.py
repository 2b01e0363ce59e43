"""Wires the metadata service of hosts: whose guests it hears, which switch it is plugged into, and who answers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from polyvisor.api.metadata.service import MetadataService, Speaker
from polyvisor.model.metadata import MetadataAnswer, MetadataAsked, MetadataPort
from polyvisor.network.metadata.switch import OpenVSwitch
from polyvisor.operate.link import LinkDown
from polyvisor.operate.metadata_link import MetadataLink
from polyvisor.operate.metadata_station import MetadataStation
from polyvisor.serve.configuration import HypervisorSettings
from polyvisor.serve.hypervisors import settings_of
from polyvisor.store.database import Database
from polyvisor.store.outage import said_elsewhere

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
    return lambda link: MetadataStation(link, switch)


class LocalMetadataLink:
    """A MetadataLink by calls, for the places that this process serves itself."""

    def __init__(self, database: Database, places: Sequence[str]) -> None:
        self._service, self._speaker = MetadataService(database), Speaker(places=tuple(places))

    def ports(self) -> tuple[MetadataPort, ...]:
        """The networks that guests here are on. Raises LinkDown."""
        with _reaching():
            return self._service.ports(self._speaker)

    def ask(self, asked: MetadataAsked) -> MetadataAnswer:
        """The answer to a guest here. Raises LinkDown."""
        with _reaching():
            return self._service.answer(self._speaker, asked)


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if said_elsewhere(error):
            raise LinkDown("The database does not answer, or gave way to another transaction.") from error
        raise
