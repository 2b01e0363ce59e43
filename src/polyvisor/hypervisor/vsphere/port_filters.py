"""Security groups of cards: each port's rules on its distributed port, brought there and kept as they should be."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyVmomi import vim

from polyvisor.hypervisor.driver import HypervisorError, Unreachable
from polyvisor.hypervisor.vsphere.inventory import Cluster
from polyvisor.hypervisor.vsphere.properties import read, sweep
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.hypervisor.vsphere.switches import Switch, Switches
from polyvisor.hypervisor.vsphere.tasks import finish
from polyvisor.hypervisor.vsphere.traffic_filter import filter_policy, key_of, rules_of
from polyvisor.model.nic import Nic
from polyvisor.model.port_filter import PortFilter
from polyvisor.network.dvs.translate import Translation, translate

log = logging.getLogger(__name__)
_AT_ONCE = 100
"""How many ports one task of vCenter changes."""
_DEVICES = "config.hardware.device"
_Card = vim.vm.device.VirtualEthernetCard


class PortFilters:
    """The filters of one connection's ports."""

    def __init__(self, session: Session, switches: Switches) -> None:
        self._session, self._switches = session, switches

    @property
    def _mode(self) -> str:
        return self._session.settings.security_groups

    def check(self, cluster: Cluster, nics: Iterable[Nic]) -> None:
        """Raises HypervisorError for cards whose security groups cannot hold here, where the settings do not let that
        pass."""
        for nic in nics:
            if nic.filter is None or self._mode == "off":
                continue
            if cluster.standalone:
                raise HypervisorError(
                    f"{cluster.title} has standard switches, which filter nothing: the security groups of port "
                    f'{nic.port_id} would not hold. Set `security_groups = "off"` for this connection to let that pass.'
                )
            unsaid = self._translated(nic.filter).unsaid
            if unsaid:
                raise HypervisorError(f"The security groups of port {nic.port_id} cannot hold here: {unsaid[0]}")

    def _translated(self, wanted: PortFilter) -> Translation:
        return translate(wanted, opening=self._mode == "open")

    def apply_to(self, cluster: Cluster, vm: Any, nics: Iterable[Nic]) -> None:
        """Bring the rules to the ports of a VM's cards."""
        wanted = {nic.port_id: nic.filter for nic in nics if nic.filter is not None}
        if wanted and self._mode != "off" and not cluster.standalone:
            props = read(self._session, vm, [_DEVICES]) or {}
            self._apply(cluster, props.get(_DEVICES, ()), wanted)

    def apply(self, cluster: Cluster, filters: Iterable[PortFilter]) -> int:
        """Bring the rules to the ports of all cards in the cluster; returns how many ports had other rules."""
        wanted = {each.port_id: each for each in filters}
        if not wanted or self._mode == "off" or cluster.standalone:
            return 0
        vms = sweep(self._session, cluster.reference, {vim.VirtualMachine: [_DEVICES]})[vim.VirtualMachine]
        devices = [device for _, props in vms for device in props.get(_DEVICES, ())]
        return self._apply(cluster, devices, wanted)

    def _apply(self, cluster: Cluster, devices: Iterable[Any], wanted: Mapping[str, PortFilter]) -> int:
        ports: dict[str, dict[str, PortFilter]] = defaultdict(dict)
        for device in devices:
            if isinstance(device, _Card) and device.externalId in wanted:
                connection = getattr(device.backing, "port", None)
                if connection is not None and connection.portKey:
                    ports[connection.switchUuid][connection.portKey] = wanted[str(device.externalId)]
        switches = {switch.uuid: switch for switch in self._switches.all(cluster)} if ports else {}
        return sum(self._on(switches[uuid], found) for uuid, found in ports.items() if uuid in switches)

    def _on(self, switch: Switch, wanted: Mapping[str, PortFilter]) -> int:
        """Bring the rules to ports of one switch, by port key."""
        changed, keys = 0, sorted(wanted)
        for at in range(0, len(keys), _AT_ONCE):
            criteria = vim.dvs.PortCriteria(portKey=keys[at : at + _AT_ONCE])
            found = switch.reference.FetchDVPorts(criteria) or ()
            specs = [spec for port in found for spec in self._change(port, wanted[port.key])]
            if specs:
                self._reconfigure(switch, specs)
                changed += len(specs)
        return changed

    def _change(self, port: Any, wanted: PortFilter) -> Sequence[Any]:
        """What makes the port's rules the wanted ones; nothing where they are."""
        translated = self._translated(wanted)
        for sentence in translated.unsaid:
            log.warning("port %s: %s What it permits is dropped.", wanted.port_id, sentence)
        policy = getattr(port.config.setting, "filterPolicy", None)
        if rules_of(policy) == translated.rules:
            return ()
        setting = vim.dvs.VmwareDistributedVirtualSwitch.VmwarePortConfigPolicy(
            filterPolicy=filter_policy(translated.rules, key_of(policy))
        )
        return (
            vim.dvs.DistributedVirtualPort.ConfigSpec(
                operation="edit", key=port.key, configVersion=port.config.configVersion, setting=setting
            ),
        )

    def _reconfigure(self, switch: Switch, specs: list[Any]) -> None:
        what = f"set the traffic rules of {len(specs)} ports of {switch.title}"
        try:
            finish(self._session, lambda: switch.reference.ReconfigureDVPort_Task(specs), what, within_seconds=300)
        except HypervisorError as error:
            if isinstance(getattr(error, "fault", None), vim.fault.ConcurrentAccess):
                raise Unreachable(
                    f"vSphere could not {what}: another changed them meanwhile; it is tried again."
                ) from error
            raise
