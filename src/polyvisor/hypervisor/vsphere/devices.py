"""The devices of a guest beside its disks: CD-ROM, serial port and network adapters."""

from collections.abc import Mapping
from typing import Any

from pyVmomi import vim

from polyvisor.hypervisor.driver import HypervisorError

_SECOND_IDE_KEY = 201
_CDROM_KEY, _SERIAL_KEY, _FIRST_NIC_KEY = -300, -400, -500
# Glance's names for vSphere (hw_vif_model), and the short ones that serve every hypervisor.
_NICS = {
    "virtuale1000": vim.vm.device.VirtualE1000,
    "virtuale1000e": vim.vm.device.VirtualE1000e,
    "virtualpcnet32": vim.vm.device.VirtualPCNet32,
    "virtualsriovethernetcard": vim.vm.device.VirtualSriovEthernetCard,
    "virtualvmxnet": vim.vm.device.VirtualVmxnet2,
    "virtualvmxnet3": vim.vm.device.VirtualVmxnet3,
    "e1000": vim.vm.device.VirtualE1000,
    "e1000e": vim.vm.device.VirtualE1000e,
    "pcnet": vim.vm.device.VirtualPCNet32,
    "vmxnet": vim.vm.device.VirtualVmxnet2,
    "vmxnet3": vim.vm.device.VirtualVmxnet3,
}
_KVM_ONLY = frozenset({"virtio", "rtl8139", "ne2k_pci", "netfront", "spapr-vlan", "igb"})


def cdrom(file: str) -> Any:
    """A CD-ROM drive on the second IDE channel, with the ISO at this datastore path in it."""
    return vim.vm.device.VirtualCdrom(
        key=_CDROM_KEY,
        controllerKey=_SECOND_IDE_KEY,
        unitNumber=0,
        backing=vim.vm.device.VirtualCdrom.IsoBackingInfo(fileName=file),
        connectable=_connected(),
    )


def second_cdrom(file: str) -> Any:
    """Another drive, on the first IDE channel: a guest that boots from an ISO has its config drive there."""
    return vim.vm.device.VirtualCdrom(
        key=_CDROM_KEY - 1,
        controllerKey=_SECOND_IDE_KEY - 1,
        unitNumber=0,
        backing=vim.vm.device.VirtualCdrom.IsoBackingInfo(fileName=file),
        connectable=_connected(),
    )


def serial_port(file: str) -> Any:
    """A serial port whose output goes to the file at this datastore path."""
    return vim.vm.device.VirtualSerialPort(
        key=_SERIAL_KEY,
        backing=vim.vm.device.VirtualSerialPort.FileBackingInfo(fileName=file),
        yieldOnPoll=True,
        connectable=_connected(),
    )


def nic_type(properties: Mapping[str, str]) -> Any:
    """The network adapter's type, from the image's `hw_vif_model`: vmxnet3 where it says nothing, or names one that
    only other hypervisors have (an image that runs on both kinds may say virtio). Raises HypervisorError."""
    model = properties.get("hw_vif_model", "").lower()
    if not model or model in _KVM_ONLY:
        return vim.vm.device.VirtualVmxnet3
    if model not in _NICS:
        known = (
            "VirtualE1000, VirtualE1000e, VirtualPCNet32, VirtualSriovEthernetCard, VirtualVmxnet and VirtualVmxnet3"
        )
        raise HypervisorError(
            f"The image's hw_vif_model {properties['hw_vif_model']!r} is none of {known}; correct it."
        )
    return _NICS[model]


def nic(properties: Mapping[str, str], number: int, mac_address: str, backing: Any, *, port_id: str) -> Any:
    """A network adapter; `backing`: vSphere's VirtualDeviceBackingInfo for the port group.

    It is found again by `port_id`, which it bears as external id: what a controller sets, and vSphere only keeps.
    """
    return nic_type(properties)(
        key=_FIRST_NIC_KEY - number,
        addressType="manual",
        macAddress=mac_address,
        externalId=port_id,
        wakeOnLanEnabled=True,
        backing=backing,
        connectable=_connected(),
    )


def _connected() -> Any:
    return vim.vm.device.VirtualDevice.ConnectInfo(startConnected=True, connected=True, allowGuestControl=True)
