"""This machine's OVN as the configuration wants it: for `polyvisor up`, and for `polyvisor network`."""

from pathlib import Path

from polyvisor.model.errors import Invalid
from polyvisor.network.local_ovn.chassis import Wanted
from polyvisor.network.local_ovn.keeping import LocalOvn, Part
from polyvisor.network.local_ovn.trouble import Trouble
from polyvisor.serve.alone import alone
from polyvisor.serve.configuration import Configuration
from polyvisor.serve.hypervisors import settings_of

_LONGEST_BRIDGE = 15
"""The kernel's limit for the name of a network device."""


def has_kvm_host(configuration: Configuration) -> bool:
    """Whether a KVM host is served whose Open vSwitch is the one at the standard place. Raises Invalid."""
    return any(not database for _, database in _switches(configuration))


def local_ovn(configuration: Configuration, directory: Path) -> LocalOvn:
    """Not brought up yet. Raises Invalid for settings without sense."""
    bridges = {bridge for bridge, database in _switches(configuration) if not database}
    if len(bridges) > 1:
        raise Invalid(
            f"The KVM hosts of this machine name several bridges as integration_bridge ({', '.join(sorted(bridges))}), "
            "and its OVN has one: name the same, or none."
        )
    physical = {each.name: each.bridge or f"br-{each.name}" for each in configuration.network.physical}
    for name, bridge in physical.items():
        if len(bridge) > _LONGEST_BRIDGE or not bridge.isprintable() or set(bridge) & set(" /,:"):
            raise Invalid(
                f"{bridge!r} is no name for the bridge of the physical network {name!r}: set `bridge` in its "
                f"[[network.physical]] to one of at most {_LONGEST_BRIDGE} letters and digits."
            )
    return LocalOvn(directory, Wanted(integration_bridge=bridges.pop(), physical=physical))


def parts(data: Path) -> list[Part]:
    """The daemons that `polyvisor up` runs for the networks of a data directory. Raises Invalid."""
    try:
        return _found(data).parts()
    except (Trouble, OSError) as error:
        raise Invalid(f"The networks of {data} cannot be looked at: {error}.") from None


def stop(data: Path) -> list[str]:
    """End them; their names. Guests have no network until the next `polyvisor up`.

    Raises Invalid while `polyvisor up` runs, which would start them again, and where they cannot be ended.
    """
    if not data.is_dir():
        raise Invalid(f"There is no directory {data}: name that of `polyvisor up` by --data.")
    with alone(data):
        try:
            return _found(data).stop()
        except (Trouble, OSError) as error:
            raise Invalid(f"The networks cannot be stopped: {error}.") from None


def _found(data: Path) -> LocalOvn:
    return LocalOvn(data.absolute() / "ovn", Wanted())


def _switches(configuration: Configuration) -> list[tuple[str, str]]:
    """Integration bridge and Open vSwitch's database of each KVM host."""
    from polyvisor.hypervisor.kvm.settings import KvmSettings

    hosts = [settings_of(each, KvmSettings) for each in configuration.hypervisor if each.driver == "kvm"]
    return [(host.integration_bridge, host.openvswitch_database) for host in hosts]
