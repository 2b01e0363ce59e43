"""Network cards of a guest that is there: found by the port they stand for, plugged in and taken out."""

import logging
from typing import Any

from pyVmomi import vim

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.vsphere import devices, marks
from polyvisor.hypervisor.vsphere.guests import Guests
from polyvisor.hypervisor.vsphere.inventory import Cluster, Inventory
from polyvisor.hypervisor.vsphere.port_filters import PortFilters
from polyvisor.hypervisor.vsphere.port_groups import PortGroups
from polyvisor.hypervisor.vsphere.properties import Properties, read
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.hypervisor.vsphere.tasks import StillRunning, finish
from polyvisor.model.nic import Nic

log = logging.getLogger(__name__)
_PATHS = ["config.hardware.device", "network", "runtime.host", f'config.extraConfig["{marks.VIF_MODEL_KEY}"]']
_LET_GO_SECONDS = 30
"""How long a guest is waited for that has to let go of a card; whoever asked asks again."""


class Nics:
    """The cards of one connection's guests."""

    def __init__(
        self, session: Session, inventory: Inventory, guests: Guests, groups: PortGroups, filters: PortFilters
    ) -> None:
        self._session, self._inventory, self._guests = session, inventory, guests
        self._groups, self._filters = groups, filters

    def attach(self, server_id: str, nic: Nic) -> None:
        """Plug a card in, whether the guest runs or not; one that is there stays as it is. Raises HypervisorError."""
        vm, _ = self._guests.need(server_id)
        props = self._read(vm, server_id)
        host = props.get("runtime.host")
        cluster = self._inventory.cluster_of_host(host)
        if card_of(props, nic.port_id) is None:
            self._filters.check(cluster, [nic])
            self._plug(cluster, vm, props, nic, server_id)
        self._filters.apply_to(cluster, vm, [nic])

    def _plug(self, cluster: Cluster, vm: Any, props: Properties, nic: Nic, server_id: str) -> None:
        host = props.get("runtime.host")
        model = {"hw_vif_model": marks.value(props, marks.VIF_MODEL_KEY)}
        with self._groups.plugs(cluster, [host._moId] if host is not None else [], [nic]) as plugs:
            card = devices.nic(model, 0, nic.mac_address, plugs.backings[0], port_id=nic.port_id)
            added = vim.vm.device.VirtualDeviceSpec(operation="add", device=card)
            finish(
                self._session,
                lambda: vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[added])),
                f"plug a network card into the VM of server {server_id}",
            )

    def detach(self, server_id: str, port_id: str) -> bool:
        """Take a card out; True once it is out. Port groups that no VM uses any more go with it."""
        found = self._guests.find(server_id)
        props = self._read(found[0], server_id) if found else {}
        card = card_of(props, port_id)
        if found is None or card is None:
            self._groups.remove_all_unused()  # an earlier call may have ended right after it had taken the card out
            return True
        removed = vim.vm.device.VirtualDeviceSpec(operation="remove", device=card)
        try:
            finish(
                self._session,
                lambda: found[0].ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[removed])),
                f"take a network card out of the VM of server {server_id}",
                within_seconds=_LET_GO_SECONDS,
            )
        except StillRunning:
            log.info("the guest of server %s has not let go of the card of port %s yet", server_id, port_id)
            return False
        self._groups.remove_unused(props.get("network", ()))
        return True

    def _read(self, vm: Any, server_id: str) -> Properties:
        props = read(self._session, vm, _PATHS)
        if props is None or "config.hardware.device" not in props:
            raise HypervisorError(f"The VM of server {server_id} shows no devices now. Look at it in vCenter.")
        return props


def card_of(props: Properties, port_id: str) -> Any:
    """The card that stands for a port; None where the VM has none."""
    for device in props.get("config.hardware.device", ()):
        if isinstance(device, vim.vm.device.VirtualEthernetCard) and device.externalId == port_id:
            return device
    return None
