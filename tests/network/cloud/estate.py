"""The cloud on that ground, and what its users have made there by its API: networks, a router, and four guests."""

import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from openstack.config import OpenStackConfig
from openstack.connection import Connection
from openstack.exceptions import HttpException

from ha.cloud import Cloud
from testbed import looks
from testbed.guest import build
from testbed.ovn_chassis import PHYSICAL_NETWORK
from testbed.ovn_guest import TestGuest
from testbed.process import wait_for
from tests.network.cloud.ground import OUTSIDE_ADDRESS, SERVER, VSPHERE_PLACE, Ground
from tests.network.cloud.shell import Shell

PATIENCE_SECONDS = 180.0
BOOT_SECONDS = 600.0
MEMBER, ADMIN = "polyvisor", "polyvisor-admin"
DOMAIN = "example.org"
USER_DATA = "#!/bin/sh\necho ran >/tmp/user-data-ran\n"
HYPERVISOR_OF_IMAGE = {"kvm": "qemu", "vsphere": "vmware"}
GUESTS = {"a": ("vlan", "hv1"), "b": ("vlan", "hv2"), "c": ("vlan", "vsphere"), "d": ("overlay", "hv2")}
"""On which network each guest is, and at which KVM host, or on vSphere."""
PREFIXES = {"vlan": ("10.20.0", "fd00:20:"), "overlay": ("10.30.0", "fd00:30:")}
VLAN = 120
RESOLVER = {"dns_nameservers": [OUTSIDE_ADDRESS]}
SLAAC = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
LOGICAL = ("Logical_Switch", "Logical_Router", "DHCP_Options", "DNS", "NAT", "HA_Chassis_Group")


class Guest:
    """A server that runs, and what it said of itself when it was ready."""

    def __init__(self, server: Any, port: Any, shell: Shell, said: str) -> None:
        self.id, self.name, self.port, self.shell, self.said = server.id, server.name, port, shell, said
        self.v4, self.v6 = sorted((each["ip_address"] for each in port.fixed_ips), key=lambda each: ":" in each)
        self.run, self.tried, self.pings, self.fetch = shell.run, shell.tried, shell.pings, shell.fetch


class Estate:
    """From `with` to the end of the block; in its end all is deleted by the API, and must be gone from below."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder / "key"
        self.networks: dict[str, Any] = {}
        self.guests: dict[str, Guest] = {}
        self._stack = ExitStack()
        self.routers: list[tuple[Connection, Any]] = []
        self._connections: list[Connection] = []
        self._plugged: list[tuple[Connection, str, str]] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.ground = stack.enter_context(Ground(self.folder))
            ground = self.ground
            self.cloud = stack.enter_context(
                Cloud(
                    ground.ovn.underlay, self.folder, f"sqlite:///{self.folder}/cloud.db", [SERVER], ground.plans(),
                    with_proxy=False, settings=ground.settings(),
                )
            )  # fmt: skip
            self._before = looks.port_groups(ground.vcenter)
            self.member, self.admin = self.connection(MEMBER), self.connection(ADMIN)
            self.other = self._project("other")
            self._images()
            self._networks()
            self.cloud.wait_for_hosts(3)
            self._zones()
            self.bastion = self.plug("bastion", "vlan", "hv1")
            self._boot(stack)
            stack.callback(self._end)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()
        for each in self._connections:
            each.close()

    def connection(self, cloud: str, **changes: Any) -> Connection:
        """openstacksdk, as the clouds.yaml of the first start and the site's authority make it."""
        file = self.folder / SERVER / "clouds.yaml"
        config = OpenStackConfig(config_files=[str(file)], load_envvars=False)
        authority = str(self.folder / "authority.pem")
        self._connections.append(Connection(config=config.get_one(cloud, cacert=authority, **changes)))
        return self._connections[-1]

    def plug(self, name: str, network: str, host: str, who: Connection | None = None, address: str = "") -> TestGuest:
        """A project's port, made by the API, with a namespace on a KVM host in the place of a guest.

        `who`: the member if None; `address`: the one that it is to have.
        """
        who = who or self.member
        wanted = {"fixed_ips": [{"ip_address": address}]} if address else {}
        port = who.network.create_port(network_id=self.networks[network].id, name=name, **wanted)
        self.admin.network.update_port(port, **{"binding:host_id": host})
        self._plugged.append((who, host, port.id))
        guest = self.ground.chassis[host].guest(port.id, port.mac_address)
        self.until(lambda: who.network.get_port(port.id).status == "ACTIVE", f"the port of {name} stays down")
        told = guest.dhcp()
        assert told["ip"] in [each["ip_address"] for each in port.fixed_ips]
        return guest

    @contextmanager
    def floating_ip(self, guest: Guest) -> Iterator[str]:
        """An address outside that stands for a guest's, as long as the block lasts."""
        network = self.member.network
        made = network.create_ip(floating_network_id=self.networks["outside"].id, port_id=guest.port.id)
        try:
            yield made.floating_ip_address
        finally:
            network.delete_ip(made)

    @contextmanager
    def rule(self, **wanted: Any) -> Iterator[None]:
        """A rule more of the group that all guests are in, for what comes in by IPv4, as long as the block lasts."""
        network = self.member.network
        [group] = network.security_groups(name="default", project_id=self.member.current_project_id)
        made = network.create_security_group_rule(
            security_group_id=group.id, direction="ingress", ethertype="IPv4", **wanted
        )
        try:
            yield
        finally:
            network.delete_security_group_rule(made)

    def until(self, true: Any, complaint: str) -> None:
        """Raises TimeoutError with the complaint, and the end of what the programs wrote."""
        wait_for(true, PATIENCE_SECONDS, lambda: f"{complaint}\n{self.logged()}")

    def logged(self) -> str:
        """The end of what each program wrote."""
        return "\n".join(f"--- {name}\n{program.tail()}" for name, program in self.cloud.programs.items())

    def _project(self, name: str) -> Connection:
        """A member of a further project."""
        identity, password = self.admin.identity, secrets.token_urlsafe(12)
        project = identity.create_project(name=name)
        user = identity.create_user(name=name, password=password, default_project_id=project.id)
        identity.assign_project_role_to_user(project, user, identity.find_role("member"))
        return self.connection(MEMBER, auth={"username": name, "password": password, "project_name": name})

    def _images(self) -> None:
        self.images = {}
        for kind, hypervisor in HYPERVISOR_OF_IMAGE.items():
            self.images[kind] = self.admin.image.create_image(
                f"for-{kind}", filename=str(build().qcow2), disk_format="qcow2", container_format="bare",
                visibility="public", img_hv_type=hypervisor, wait=True,
            )  # fmt: skip
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        self.member.compute.create_keypair(name="key", public_key=self.key.with_suffix(".pub").read_text())

    def _networks(self) -> None:
        """For each project two with the same ranges: one that is a VLAN, and one on the overlay."""
        flat = {"provider:network_type": "flat", "provider:physical_network": PHYSICAL_NETWORK}
        outside = self.admin.network.create_network(name="outside", **{**flat, "router:external": True})
        range_outside = {"cidr": OUTSIDE_ADDRESS.rpartition(".")[0] + ".0/24", "gateway_ip": OUTSIDE_ADDRESS}
        self.admin.network.create_subnet(network_id=outside.id, ip_version=4, enable_dhcp=False, **range_outside)
        self.networks["outside"] = outside
        for prefix, who, number in (("", self.member, VLAN), ("other-", self.other, VLAN + 1)):
            vlan = {**flat, "provider:network_type": "vlan", "provider:segmentation_id": number}
            vlan |= {"project_id": who.current_project_id, "dns_domain": f"{DOMAIN}."}
            self.networks[f"{prefix}vlan"] = self.admin.network.create_network(name=f"{prefix}vlan", **vlan)
            self.networks[f"{prefix}overlay"] = who.network.create_network(name=f"{prefix}overlay")
            router = who.network.create_router(name=f"{prefix}router", external_gateway_info={"network_id": outside.id})
            self.routers.append((who, router))
            for name, (v4, v6) in PREFIXES.items():
                for version, cidr, more in ((4, f"{v4}.0/24", RESOLVER), (6, f"{v6}:/64", SLAAC)):
                    subnet = who.network.create_subnet(
                        network_id=self.networks[prefix + name].id, ip_version=version, cidr=cidr, **more
                    )
                    who.network.add_interface_to_router(router, subnet=subnet.id)

    def _zones(self) -> None:
        """An availability zone for each KVM host, so that a member can choose one."""
        for host in self.ground.chassis:
            aggregate = self.admin.compute.create_aggregate(name=host, availability_zone=host)
            self.admin.compute.add_host_to_aggregate(aggregate, host)

    def _boot(self, stack: ExitStack) -> None:
        """All at once, for each takes long."""
        flavor = self.member.compute.find_flavor("m1.nano")
        servers = {name: self._create(name, *where, flavor) for name, where in GUESTS.items()}
        for name, server in servers.items():
            said = self._said(server)
            server = self.member.compute.get_server(server.id)
            [port] = self.member.network.ports(device_id=server.id)
            v4 = next(each["ip_address"] for each in port.fixed_ips if "." in each["ip_address"])
            shell = Shell(self.bastion, v4, self.key)
            stack.callback(shell.logout)
            self.guests[name] = Guest(server, port, shell, said)
        for guest in self.guests.values():
            guest.shell.login()

    def _create(self, name: str, network: str, where: str, flavor: Any) -> Any:
        """A server, which is not waited for."""
        kind = "vsphere" if where == "vsphere" else "kvm"
        zone = {} if kind == "vsphere" else {"availability_zone": where}
        return self.member.create_server(
            name, image=self.images[kind], flavor=flavor, network=self.networks[network], key_name="key",
            userdata=USER_DATA, auto_ip=False, **zone,
        )  # fmt: skip

    def _said(self, server: Any) -> str:
        """What a guest says of itself when it is ready. It writes slowly: to ask often makes it slower still."""
        deadline = time.monotonic() + BOOT_SECONDS
        said = ""
        while "CLOUD-READY" not in said:
            now = self.member.compute.get_server(server.id)
            if now.status == "ERROR" or time.monotonic() > deadline:
                raise TimeoutError(f"{server.name} is {now.status}: {now.fault} {said[-2000:]}\n{self.logged()}")
            if now.status == "ACTIVE":
                with suppress(HttpException):  # an agent that is busy may take longer than an answer may
                    said = str(self.member.compute.get_server_console_output(server)["output"] or "")
            time.sleep(2)
        return said.partition("CLOUD-READY")[2]

    def _end(self) -> None:
        """Delete all by the API, and find nothing of it below."""
        for guest in self.guests.values():
            self.member.compute.delete_server(guest.id)
        self.until(lambda: not list(self.member.compute.servers()), "servers stay")
        for who, host, port_id in self._plugged:
            self.ground.chassis[host].unplug(port_id)
            who.network.delete_port(port_id)
        for who, router in self.routers:
            for port in who.network.ports(device_id=router.id, device_owner="network:router_interface"):
                for fixed in port.fixed_ips:
                    who.network.remove_interface_from_router(router, subnet=fixed["subnet_id"])
            who.network.delete_router(router)
        for network in self.networks.values():
            self.admin.network.delete_network(network)
        wait_for(lambda: not self._left(), PATIENCE_SECONDS, lambda: f"left: {self._left()}\n{self.logged()}")

    def _left(self) -> list[str]:
        """What hypervisors, switches and OVN still have of servers and networks."""
        ground = self.ground
        held = [
            look for place, host in ground.libvirts.items() for look in looks.kvm(place, host, ground.instances(place))
        ]
        held += looks.vsphere(VSPHERE_PLACE, ground.vcenter)
        left = [f"{look.place}: {look.what} {id}" for look in held for id in look.server_ids]
        left += [f"{place}: port {port}" for place, ports in ground.plugged().items() for port in ports]
        left += [f"port group {name}" for name in looks.port_groups(ground.vcenter) - self._before]
        for table in LOGICAL:
            left += [f"{table} {row}" for row in ground.ovn.nbctl("--bare", "--columns=_uuid", "list", table).split()]
        return left
