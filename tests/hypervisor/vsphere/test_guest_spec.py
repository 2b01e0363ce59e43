"""What an image's properties and a flavor's extra specs become in vSphere's specification of a VM."""

import base64
import gzip
import json
from typing import Any

import pytest
from pyVmomi import vim

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.vsphere import devices, disks
from polyvisor.hypervisor.vsphere.datastore import GIB, Store
from polyvisor.hypervisor.vsphere.guest_spec import GuestFiles, config_spec
from polyvisor.hypervisor.vsphere.guestinfo import guestinfo
from polyvisor.model.host import Datastore
from polyvisor.model.image import ImageRef
from polyvisor.model.nic import NicAddress
from polyvisor.model.subnet import HostRoute

from .kit import CLOUD, spec_of
from .site import nic_of

STORE = Store(
    reference=None, hosts=frozenset(),
    record=Datastore(name="ds1", kind="VMFS", capacity_bytes=100 * GIB, free_bytes=100 * GIB),
)  # fmt: skip


def image(**properties: str) -> ImageRef:
    return ImageRef(
        id="i",
        disk_format="vmdk",
        container_format="bare",
        size_bytes=1,
        virtual_size_bytes=1,
        sha512="",
        properties=properties,
    )


def made(files: GuestFiles | None = None, properties: dict[str, str] | None = None, **changes: Any) -> Any:
    spec = spec_of(image=image(**(properties or {})), **changes)
    return config_spec(spec, CLOUD, STORE, files or GuestFiles(root_bytes=GIB), "thin")


def of_type(config: Any, kind: Any) -> list[Any]:
    return [change.device for change in config.deviceChange if isinstance(change.device, kind)]


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ("lsiLogic", vim.vm.device.VirtualLsiLogicController),
        ("lsiLogicsas", vim.vm.device.VirtualLsiLogicSASController),
        ("busLogic", vim.vm.device.VirtualBusLogicController),
        ("paraVirtual", vim.vm.device.ParaVirtualSCSIController),
    ],
)
def test_the_disk_hangs_on_the_adapter_the_image_asks_for(asked: str, kind: Any) -> None:
    config = made(properties={"vmware_adaptertype": asked})
    (controller,) = of_type(config, vim.vm.device.VirtualSCSIController)
    (disk,) = of_type(config, vim.vm.device.VirtualDisk)
    assert type(controller) is kind
    assert disk.controllerKey == controller.key
    assert disk.unitNumber == 0


def test_an_ide_disk_hangs_on_the_controller_that_every_vm_has() -> None:
    config = made(properties={"vmware_adaptertype": "ide"}, config_drive=True, ephemeral_gib=1, swap_mib=64,
                  files=GuestFiles(root_bytes=GIB, config_drive=True))  # fmt: skip
    assert not of_type(config, vim.vm.device.VirtualController)
    slots = [(each.controllerKey, each.unitNumber) for each in of_type(config, vim.vm.device.VirtualDisk)]
    slots += [(each.controllerKey, each.unitNumber) for each in of_type(config, vim.vm.device.VirtualCdrom)]
    assert sorted(slots) == [(200, 0), (200, 1), (201, 0), (201, 1)]


@pytest.mark.parametrize(
    ("properties", "adapter"),
    [
        ({}, "paravirtual"),
        ({"os_type": "linux"}, "paravirtual"),
        ({"os_type": "windows"}, "lsilogicsas"),
        ({"vmware_ostype": "windows2019srv_64Guest"}, "lsilogicsas"),
        ({"hw_disk_bus": "ide"}, "ide"),
        ({"hw_disk_bus": "virtio"}, "paravirtual"),
        ({"hw_scsi_model": "lsisas1068"}, "lsilogicsas"),
    ],
)
def test_an_image_that_names_no_adapter_gets_one_its_system_boots_from(
    properties: dict[str, str], adapter: str
) -> None:
    assert disks.adapter_of(properties) == adapter


@pytest.mark.parametrize(
    ("disktype", "default", "provisioning"),
    [
        ("thin", "thick", disks.Provisioning.THIN),
        ("preallocated", "thin", disks.Provisioning.THICK),
        ("eagerZeroedThick", "thin", disks.Provisioning.EAGER_ZEROED),
        ("sparse", "thick", disks.Provisioning.THICK),
        ("streamOptimized", "thin", disks.Provisioning.THIN),
        ("", "eagerZeroedThick", disks.Provisioning.EAGER_ZEROED),
    ],
)
def test_each_disk_type_is_laid_out_as_it_says(disktype: str, default: str, provisioning: disks.Provisioning) -> None:
    assert disks.provisioning_of({"vmware_disktype": disktype} if disktype else {}, default) is provisioning


@pytest.mark.parametrize(
    ("provisioning", "thin", "eager"),
    [("thin", True, False), ("eagerZeroedThick", False, True), ("preallocated", False, False)],
)
def test_blank_disks_are_provisioned_like_the_root_disk(provisioning: str, thin: bool, eager: bool) -> None:
    config = made(properties={"vmware_disktype": provisioning}, ephemeral_gib=1)
    for disk in of_type(config, vim.vm.device.VirtualDisk):
        assert (disk.backing.thinProvisioned, disk.backing.eagerlyScrub) == (thin, eager)


def test_the_vm_is_found_by_the_servers_id_and_bears_our_mark() -> None:
    spec = spec_of(image=image())
    config = config_spec(spec, CLOUD, STORE, GuestFiles(root_bytes=GIB), "thin")
    marks = {option.key: option.value for option in config.extraConfig}
    assert config.instanceUuid == spec.server_id
    assert marks["polyvisor.cloud_id"] == CLOUD
    assert marks["polyvisor.server_id"] == spec.server_id
    assert config.files.vmPathName == f"[ds1] pv-{spec.server_id}/pv-{spec.server_id}.vmx"


def test_a_second_power_on_does_not_wait_for_a_person_because_of_the_console_log() -> None:
    options = {option.key: option.value for option in made().extraConfig}
    assert options["answer.msg.serial.file.open"] == "Append"


@pytest.mark.parametrize(
    ("properties", "guest_id"),
    [
        ({}, "otherGuest64"),
        ({"os_type": "linux"}, "otherLinux64Guest"),
        ({"os_type": "windows"}, "windows2019srv_64Guest"),
        ({"vmware_ostype": "debian11_64Guest"}, "debian11_64Guest"),
    ],
)
def test_the_guest_os_id_is_the_images_or_a_general_one(properties: dict[str, str], guest_id: str) -> None:
    assert made(properties=properties).guestId == guest_id


@pytest.mark.parametrize(
    ("properties", "sentence"),
    [
        ({"vmware_ostype": "debian11-64Guest"}, "Did you mean debian11_64Guest"),
        ({"vmware_adaptertype": "virtio"}, "vmware_adaptertype 'virtio'"),
        ({"hw_vif_model": "VirtualVmxnet9"}, "VirtualVmxnet3"),
        ({"os_secure_boot": "required"}, "hw_firmware_type"),
    ],
)
def test_a_property_that_vsphere_cannot_obey_is_refused_in_a_sentence(
    properties: dict[str, str], sentence: str
) -> None:
    with pytest.raises(HypervisorError, match=sentence):
        made(properties=properties)


def test_uefi_and_secure_boot_are_set_as_the_image_asks() -> None:
    config = made(properties={"hw_firmware_type": "uefi", "os_secure_boot": "required"})
    assert (config.firmware, config.bootOptions.efiSecureBootEnabled) == ("efi", True)
    assert made().firmware == "bios"


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("VirtualE1000", vim.vm.device.VirtualE1000),
        ("VirtualE1000e", vim.vm.device.VirtualE1000e),
        ("VirtualPCNet32", vim.vm.device.VirtualPCNet32),
        ("VirtualVmxnet", vim.vm.device.VirtualVmxnet2),
        ("VirtualVmxnet3", vim.vm.device.VirtualVmxnet3),
        ("e1000", vim.vm.device.VirtualE1000),
        ("virtio", vim.vm.device.VirtualVmxnet3),
        ("", vim.vm.device.VirtualVmxnet3),
    ],
)
def test_the_network_adapter_is_the_one_the_image_asks_for(model: str, kind: Any) -> None:
    backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="VM Network")
    nic = devices.nic({"hw_vif_model": model}, 0, "fa:16:3e:00:00:01", backing, port_id="p")
    assert type(nic) is kind
    assert (nic.macAddress, nic.addressType, nic.externalId) == ("fa:16:3e:00:00:01", "manual", "p")


def test_quotas_become_limits_reservations_and_shares() -> None:
    extra = {
        "quota:cpu_limit": "2000",
        "quota:cpu_shares_level": "custom",
        "quota:cpu_shares_share": "500",
        "quota:memory_reservation": "64",
    }
    config = made(extra_specs=extra)
    assert (config.cpuAllocation.limit, config.cpuAllocation.shares.shares) == (2000, 500)
    assert config.memoryAllocation.reservation == 64


@pytest.mark.parametrize(
    "extra", [{"quota:cpu_limit": "fast"}, {"quota:cpu_shares_level": "huge"}, {"hw:cpu_cores": "3"}]
)
def test_a_quota_that_makes_no_sense_is_refused(extra: dict[str, str]) -> None:
    with pytest.raises(HypervisorError, match="correct"):
        made(extra_specs=extra, vcpus=4)


def test_guestinfo_carries_the_same_data_as_the_config_drive() -> None:
    user_data = b"#cloud-config\n{}\n"
    spec = spec_of(user_data=base64.b64encode(user_data).decode(), hostname="db-1")
    found = guestinfo(spec)
    metadata = json.loads(unpacked(found, "metadata"))
    assert metadata["instance-id"] == spec.server_id
    assert metadata["local-hostname"] == "db-1"
    assert metadata["public_keys"] == {"k": "ssh-ed25519 AAAA k"}
    assert unpacked(found, "userdata") == user_data


def test_guestinfo_says_how_each_card_gets_its_addresses() -> None:
    dhcp = NicAddress(subnet_id="a", ip_version=4, address="10.0.0.5", cidr="10.0.0.0/24", gateway="10.0.0.1")
    slaac = NicAddress(
        subnet_id="b", ip_version=6, address="fd00::5", cidr="fd00::/64", gateway="fd00::1", ipv6_address_mode="slaac"
    )
    fixed = NicAddress(
        subnet_id="c", ip_version=4, address="10.1.0.5", cidr="10.1.0.0/16", gateway="10.1.0.1", dhcp=False,
        dns_nameservers=("10.1.0.2",), routes=(HostRoute(destination="10.9.0.0/16", nexthop="10.1.0.9"),),
    )  # fmt: skip
    spec = spec_of(nics=(nic_of(addresses=(dhcp, slaac)), nic_of(addresses=(fixed,)), nic_of(mtu=9000)))
    network = json.loads(unpacked(guestinfo(spec), "metadata"))["network"]
    first, second, third = (
        {"match": {"macaddress": nic.mac_address}, "set-name": f"eth{number}", "mtu": nic.mtu}
        for number, nic in enumerate(spec.nics)
    )
    assert network == {
        "version": 2,
        "ethernets": {
            "eth0": first | {"dhcp4": True, "dhcp6": False, "accept-ra": True},
            "eth1": second
            | {
                "dhcp4": False,
                "dhcp6": False,
                "addresses": ["10.1.0.5/16"],
                "routes": [{"to": "0.0.0.0/0", "via": "10.1.0.1"}, {"to": "10.9.0.0/16", "via": "10.1.0.9"}],
                "nameservers": {"addresses": ["10.1.0.2"]},
            },
            "eth2": third | {"dhcp4": False, "dhcp6": False},
        },
    }
    assert "network" not in json.loads(unpacked(guestinfo(spec_of()), "metadata"))


def test_a_dhcpv6_address_is_asked_for() -> None:
    told = NicAddress(
        subnet_id="b", ip_version=6, address="fd00::5", cidr="fd00::/64", gateway=None,
        ipv6_address_mode="dhcpv6-stateful",
    )  # fmt: skip
    spec = spec_of(nics=(nic_of(addresses=(told,)),))
    card = json.loads(unpacked(guestinfo(spec), "metadata"))["network"]["ethernets"]["eth0"]
    assert (card["dhcp4"], card["dhcp6"], card["accept-ra"]) == (False, True, True)


def test_vendor_data_for_cloud_init_is_handed_on() -> None:
    spec = spec_of(metadata={"openstack/latest/vendor_data.json": json.dumps({"cloud-init": "#cloud-config\n"})})
    assert unpacked(guestinfo(spec), "vendordata") == b"#cloud-config\n"


def unpacked(found: dict[str, str], key: str) -> bytes:
    assert found[f"guestinfo.{key}.encoding"] == "gzip+base64"
    return gzip.decompress(base64.b64decode(found[f"guestinfo.{key}"]))
