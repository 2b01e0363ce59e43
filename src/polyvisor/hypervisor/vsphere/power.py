"""A guest's power: asked for from whatever state it is in, and told when vSphere waits for a person's answer."""

import logging
from typing import Any

from pyVmomi import vim, vmodl

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.vsphere.faults import told, translated
from polyvisor.hypervisor.vsphere.guests import Guests, power_of
from polyvisor.hypervisor.vsphere.properties import read
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.hypervisor.vsphere.tasks import StillRunning, TaskFailed, finish
from polyvisor.model.power import Power

log = logging.getLogger(__name__)
TASK_SECONDS = 30
"""How long a power task is waited for; it goes on, and whoever asked looks again."""


class Powering:
    """The power of the guests of one connection."""

    def __init__(self, session: Session, guests: Guests) -> None:
        self._session, self._guests = session, guests

    def set_power(self, server_id: str, wanted: Power) -> None:
        """ON, OFF or SUSPENDED. Raises HypervisorError for PAUSED, which vSphere does not know, and where the guest
        would have to run and does not."""
        if wanted is Power.PAUSED:
            raise HypervisorError("vSphere cannot pause a guest and keep it in memory. Suspend the server instead.")
        vm, props = self._guests.need(server_id)
        for _ in range(3):  # another may change it meanwhile
            now = power_of(props)
            if now is wanted:
                return
            try:
                self._step(vm, now, wanted)
            except TaskFailed as failed:
                if not isinstance(failed.fault, vim.fault.InvalidPowerState):
                    raise
            else:
                return
            vm, props = self._guests.need(server_id)

    def _step(self, vm: Any, now: Power, wanted: Power) -> None:
        if wanted is Power.ON:
            self.run(vm, vm.PowerOn, "power on the VM")
        elif wanted is Power.OFF:
            self.run(vm, vm.PowerOff, "power off the VM")
        elif wanted is Power.SUSPENDED and now is Power.OFF:
            raise HypervisorError("The server is off, and only one that runs can be suspended. Start it first.")
        elif wanted is Power.SUSPENDED:
            self.run(vm, vm.Suspend, "suspend the VM")
        else:
            raise HypervisorError(f"vSphere cannot bring a VM to the state {wanted}.")

    def run(self, vm: Any, start: Any, what: str) -> None:
        """Start a power task and wait a while. Raises TaskFailed; HypervisorError where vSphere asks a question."""
        try:
            finish(self._session, start, what, within_seconds=TASK_SECONDS)
        except StillRunning:
            props = read(self._session, vm, ["runtime.question"]) or {}
            question = props.get("runtime.question")
            if question is not None:
                raise HypervisorError(
                    f"vSphere waits for an answer before it can {what}: {question.text} Answer it in vCenter."
                ) from None
            log.info("vSphere is still at it: %s", what)

    def shut_down(self, server_id: str) -> None:
        """Ask through VMware Tools. A guest without them cannot be asked: to the caller, it does not obey."""
        vm, props = self._guests.need(server_id)
        if power_of(props) is Power.ON and not self._asked(vm, vm.ShutdownGuest, "shut the guest down"):
            log.info("server %s runs no VMware Tools, and cannot be asked to shut down", server_id)

    def restart(self, server_id: str) -> None:
        """Ask through VMware Tools; a guest without them is reset, for there is no other way to reboot it."""
        vm, props = self._guests.need(server_id)
        if power_of(props) is Power.ON and self._asked(vm, vm.RebootGuest, "reboot the guest"):
            return
        log.info("server %s runs no VMware Tools, and is reset", server_id)
        self.reset(server_id)

    def _asked(self, vm: Any, ask: Any, what: str) -> bool:
        """Whether the guest could be asked."""
        try:
            ask()
        except (vim.fault.ToolsUnavailable, vim.fault.InvalidPowerState):
            return False
        except vmodl.MethodFault as fault:
            raise told(what, fault) from fault
        return True

    def reset(self, server_id: str) -> None:
        """Press the reset button; a guest that is off or suspended is powered on anew."""
        vm, props = self._guests.need(server_id)
        if power_of(props) is Power.ON:
            self.run(vm, vm.Reset, "reset the VM")
            return
        if power_of(props) is Power.SUSPENDED:
            self.run(vm, vm.PowerOff, "power off the VM")
        self.set_power(server_id, Power.ON)

    def off(self, vm: Any) -> None:
        """Make sure that a VM is off, before it is destroyed."""
        props = read(self._session, vm, ["runtime.powerState"]) or {}
        if props.get("runtime.powerState") in (None, "poweredOff"):
            return
        with translated("power off the VM"):
            try:
                finish(self._session, vm.PowerOff, "power off the VM", within_seconds=120)
            except TaskFailed as failed:
                if not isinstance(failed.fault, vim.fault.InvalidPowerState | vmodl.fault.ManagedObjectNotFound):
                    raise
