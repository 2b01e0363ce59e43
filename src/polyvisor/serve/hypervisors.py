"""Makes the drivers that the configuration names; each library is loaded only where its kind is used."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from polyvisor.hypervisor.driver import Driver
from polyvisor.model.errors import Invalid
from polyvisor.serve.configuration import HypervisorSettings

S = TypeVar("S")


def make_driver(wanted: HypervisorSettings, cloud_id: str, data: Path) -> Driver:
    """The driver of one connection, which connects at its first use. Raises Invalid for settings without sense."""
    make = _MAKERS.get(wanted.driver)
    if make is None:
        known = ", ".join(sorted(_MAKERS))
        raise Invalid(f"The hypervisor {wanted.name!r} asks for the driver {wanted.driver!r}: choose one of {known}.")
    return make(wanted, cloud_id, data)


def settings_of(wanted: HypervisorSettings, kind: type[S]) -> S:
    """The settings of one connection as its driver's record. Raises Invalid."""
    try:
        return msgspec.convert(wanted.settings, kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"[[hypervisor]] {wanted.name!r}: {error}.") from None


def _kvm(wanted: HypervisorSettings, cloud_id: str, data: Path) -> Driver:
    from polyvisor.hypervisor.kvm.driver import KvmDriver
    from polyvisor.hypervisor.kvm.settings import KvmSettings

    return KvmDriver(wanted.name, settings_of(wanted, KvmSettings), cloud_id, data / "kvm" / wanted.name)


def _vsphere(wanted: HypervisorSettings, cloud_id: str, data: Path) -> Driver:
    from polyvisor.hypervisor.vsphere.driver import VsphereDriver
    from polyvisor.hypervisor.vsphere.settings import VsphereSettings

    return VsphereDriver(wanted.name, settings_of(wanted, VsphereSettings), cloud_id, data / "vsphere" / wanted.name)


def _simulated(wanted: HypervisorSettings, _cloud_id: str, data: Path) -> Driver:
    from polyvisor.hypervisor.simulated.driver import SimulatedDriver
    from polyvisor.hypervisor.simulated.settings import SimulatedSettings

    settings = settings_of(wanted, SimulatedSettings)
    state = Path(settings.estate_path) if settings.estate_path else data / "simulated" / f"{wanted.name}.db"
    return SimulatedDriver(wanted.name, settings, state)


_MAKERS: dict[str, Callable[[HypervisorSettings, str, Path], Driver]] = {
    "kvm": _kvm,
    "vsphere": _vsphere,
    "simulated": _simulated,
}
