"""Networks of a control process: which backend keeps them, and the keeper that sees to it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

import msgspec

from polyvisor.model.errors import Invalid
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.record import Record
from polyvisor.network.backend import Backend
from polyvisor.network.local_ovn.keeping import LocalOvn
from polyvisor.network.local_ovn.trouble import Trouble
from polyvisor.network.simulated.backend import SimulatedBackend
from polyvisor.operate.network_keeper import NetworkKeeper
from polyvisor.serve.configuration import Configuration
from polyvisor.serve.local_network import has_kvm_host, local_ovn
from polyvisor.store.database import Database

_INSTALL = "install it with: pip install 'polyvisor[ovn]'"


class Networks(Record):
    """What keeps a process's networks."""

    settings: NetworkSettings
    """`[network]` with a backend in the place of "auto"; where OVN is this machine's, with its databases."""
    told: str
    """For the start message: what it is, or why there is none."""
    local: LocalOvn | None = None
    """This machine's OVN, where that is used. It is up."""

    def kept(self) -> AbstractContextManager[object]:
        """For as long as the process serves: what dies of this machine's OVN is started again."""
        return nullcontext() if self.local is None else self.local


def with_backend(configuration: Configuration, directory: Path | None = None) -> Networks:
    """Choose what keeps the networks. `directory`: where this machine's OVN may be started; None = not at all.

    Raises Invalid for a backend that lacks what it needs, and where OVN kept networks here before and cannot now.
    """
    settings = configuration.network
    unnamed = settings.backend in ("auto", "ovn") and not (settings.ovn_northbound or settings.ovn_southbound)
    if directory is not None and unnamed and has_kvm_host(configuration):
        return _local(configuration, directory)
    if settings.backend == "auto":
        settings = msgspec.structs.replace(settings, backend=_fitting(configuration))
    if settings.backend == "ovn" and not (settings.ovn_northbound and settings.ovn_southbound):
        raise Invalid(
            "OVN is to keep the networks, and its databases are not named: set ovn_northbound and ovn_southbound under "
            '[network], such as "ssl:10.0.0.1:6641" and "ssl:10.0.0.1:6642".'
        )
    return Networks(settings=settings, told=_told(settings, chosen=configuration.network.backend))


def keeper(
    settings: NetworkSettings,
    database: Database,
    clock: Callable[[], datetime],
    steady: Callable[[], float],
    turned: Callable[[], None] = lambda: None,
) -> NetworkKeeper:
    """The keeper, not started yet. `settings`: from `with_backend`, where there is a backend; `turned`: see there."""
    return NetworkKeeper(database, _backend(settings), clock, steady, settings.sweep_seconds, turned, settings)


def _local(configuration: Configuration, directory: Path) -> Networks:
    """This machine's OVN, or no networks. What kept networks once does not go without a word."""
    settings, local, before = configuration.network, local_ovn(configuration, directory), True
    try:
        before = local.chosen_before
        if find_spec("ovs") is None:
            raise Trouble(f"the Python package ovs is missing; {_INSTALL}")
        local.bring_up()
        databases = {"ovn_northbound": local.northbound, "ovn_southbound": local.southbound}
        settings = msgspec.structs.replace(settings, backend="ovn", **databases)
        return Networks(settings=settings, told=f"OVN, {local.told()}", local=local)
    except Trouble as error:
        if settings.backend == "ovn" or before:
            raise Invalid(
                f'OVN cannot keep the networks: {error}. To go on without networks, set backend = "none" under '
                "[network]."
            ) from None
        settings = msgspec.structs.replace(settings, backend="none")
        return Networks(settings=settings, told=f"none, for {error}")


def _fitting(configuration: Configuration) -> str:
    if configuration.network.ovn_northbound:
        return "ovn"
    kinds = {wanted.driver for wanted in configuration.hypervisor}
    return "simulated" if kinds == {"simulated"} else "none"


def _told(settings: NetworkSettings, chosen: str) -> str:
    if settings.backend == "ovn":
        return f"OVN at {settings.ovn_northbound}"
    if settings.backend == "simulated":
        return "simulated"
    if chosen == "none":
        return 'none, for backend = "none" is set under [network]'
    return "none, for no OVN is named: set ovn_northbound and ovn_southbound under [network]"


def _backend(settings: NetworkSettings) -> Backend:
    if settings.backend == "simulated":
        return SimulatedBackend()
    try:
        from polyvisor.network.ovn.backend import OvnBackend
    except ImportError as error:
        raise Invalid(f"The Python package {error.name} is missing, by which OVN is reached; {_INSTALL}.") from error
    return OvnBackend(settings)
