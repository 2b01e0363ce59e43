"""Networks of a control process: which backend keeps them, and the keeper that sees to it."""

from collections.abc import Callable
from datetime import datetime

import msgspec

from polyvisor.model.errors import Invalid
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.network.backend import Backend
from polyvisor.network.simulated.backend import SimulatedBackend
from polyvisor.operate.network_keeper import NetworkKeeper
from polyvisor.serve.configuration import Configuration
from polyvisor.store.database import Database


def with_backend(configuration: Configuration) -> NetworkSettings:
    """`[network]` with a backend in the place of "auto". Raises Invalid for a backend that lacks what it needs."""
    settings = configuration.network
    if settings.backend == "auto":
        settings = msgspec.structs.replace(settings, backend=_fitting(configuration))
    if settings.backend == "ovn" and not (settings.ovn_northbound and settings.ovn_southbound):
        raise Invalid(
            "OVN is to keep the networks, and its databases are not named: set ovn_northbound and ovn_southbound under "
            '[network], such as "ssl:10.0.0.1:6641" and "ssl:10.0.0.1:6642".'
        )
    return settings


def keeper(
    settings: NetworkSettings, database: Database, clock: Callable[[], datetime], steady: Callable[[], float]
) -> NetworkKeeper | None:
    """The keeper, not started yet; None where this cloud has no networks. `settings`: from `with_backend`."""
    if settings.backend == "none":
        return None
    return NetworkKeeper(database, _backend(settings), clock, steady, settings.sweep_seconds)


def _fitting(configuration: Configuration) -> str:
    if configuration.network.ovn_northbound:
        return "ovn"
    kinds = {wanted.driver for wanted in configuration.hypervisor}
    return "simulated" if kinds == {"simulated"} else "none"


def _backend(settings: NetworkSettings) -> Backend:
    if settings.backend == "simulated":
        return SimulatedBackend()
    try:
        from polyvisor.network.ovn.backend import OvnBackend
    except ImportError as error:
        raise Invalid(
            f"The Python package {error.name} is missing, by which OVN is reached; install it with: "
            "pip install 'polyvisor[ovn]'."
        ) from error
    return OvnBackend(settings)
