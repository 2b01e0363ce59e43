"""Power transitions of a guest; each may be asked for twice, from any state."""

from typing import Any

from polyvisor.hypervisor.driver import HypervisorError, Unreachable
from polyvisor.hypervisor.kvm.errors import is_missing, is_wrong_state
from polyvisor.hypervisor.kvm.guests import power
from polyvisor.model.power import Power


def read(domain: Any) -> Power:
    """The guest's power now."""
    state, reason = domain.state()
    return power(state, reason, saved=bool(domain.hasManagedSaveImage()))


def change(domain: Any, wanted: Power) -> None:
    """Bring the guest to ON, OFF, PAUSED or SUSPENDED. Raises libvirtError; HypervisorError where that makes no
    sense."""
    act = _CHANGES.get(wanted)
    if act is None:
        raise HypervisorError(f"A guest cannot be asked to be {wanted}; ask for on, off, paused or suspended.")
    if is_saving(domain) and wanted is not Power.OFF:
        if wanted is not Power.SUSPENDED:
            raise Unreachable("The guest's memory is just being saved; ask again when that is done.")
        return
    now = read(domain)
    if now is not wanted:
        act(domain, now)


def is_saving(domain: Any) -> bool:
    """Whether libvirt is at work on saving the guest's memory, begun by an earlier call."""
    import libvirt

    state, reason = domain.state()
    return bool(state == libvirt.VIR_DOMAIN_PAUSED and reason == libvirt.VIR_DOMAIN_PAUSED_SAVE)


def kill(domain: Any) -> None:
    """End the guest's process at once, if it has one; its saved memory stays."""
    import libvirt

    try:
        domain.destroy()
    except libvirt.libvirtError as error:
        if not (is_wrong_state(error) or is_missing(error)):  # it ended by itself
            raise


def _on(domain: Any, now: Power) -> None:
    import libvirt

    if now is Power.PAUSED:
        domain.resume()
    elif domain.isActive() and now is Power.SUSPENDED:
        domain.pMWakeup()
    else:
        if now is Power.CRASHED:
            kill(domain)
        try:
            domain.create()  # from its saved memory, where that is there
        except libvirt.libvirtError as error:
            if not (is_wrong_state(error) and domain.isActive()):
                raise


def off(domain: Any) -> None:
    """End the guest, and drop its saved memory."""
    kill(domain)
    if domain.hasManagedSaveImage():
        domain.managedSaveRemove()


def _paused(domain: Any, now: Power) -> None:
    import libvirt

    if now is Power.ON:
        domain.suspend()
    elif now is Power.SUSPENDED and not domain.isActive():
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    else:
        raise HypervisorError(f"A guest that is {now} cannot be paused; start it first.")


def _suspended(domain: Any, now: Power) -> None:
    import libvirt

    if now not in (Power.ON, Power.PAUSED):
        raise HypervisorError("A guest that is off has nothing to suspend; start it first.")
    # A suspended server runs when it is resumed, also where it was paused before.
    domain.managedSave(libvirt.VIR_DOMAIN_SAVE_RUNNING)


def undefine(domain: Any, *, keep_files: bool = False) -> None:
    """End the guest and forget it, with all that libvirt keeps of it; `keep_files`: not its UEFI variables."""
    import libvirt

    kill(domain)
    flags = (
        libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
        | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
        | (libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM if keep_files else libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
    )
    try:
        domain.undefineFlags(flags)
    except libvirt.libvirtError as error:
        # A guest without a lasting definition is gone once its process has ended.
        if not (is_missing(error) or is_wrong_state(error)):
            raise


def shut_down(domain: Any) -> None:
    """Ask the guest's operating system to shut down; one that is off is there already."""
    import libvirt

    try:
        domain.shutdown()
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_AGENT_UNRESPONSIVE:
            domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
        elif not is_wrong_state(error):
            raise


def restart(domain: Any) -> None:
    """Ask the guest's operating system to reboot. Raises HypervisorError where it does not run."""
    import libvirt

    if read(domain) is not Power.ON:
        raise HypervisorError("Only a guest that runs can be asked to reboot; start the server, or reboot it hard.")
    try:
        domain.reboot()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_AGENT_UNRESPONSIVE:
            raise
        domain.reboot(libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN)


_CHANGES = {
    Power.ON: _on,
    Power.OFF: lambda domain, _now: off(domain),
    Power.PAUSED: _paused,
    Power.SUSPENDED: _suspended,
}
