"""The acts of networks: a VLAN that both hypervisors carry, addresses from outside, and a security group."""

from functools import partial

from demo.ground import GATEWAY, OUTSIDE, SUBNET, Ground
from demo.terminal import ADMIN, Terminal

NETWORK, RANGE = "net", "10.9.0.0/24"
DOMAIN = "openstacklocal"
REACHED_TIMEOUT_SECONDS = 180
NO_ANSWER = "Connection timed out"
"""What ssh says where its packets are dropped."""
ANSWERED = "3 packets transmitted, 3 packets received"
RULE = "openstack security group rule create -f value -c id --protocol tcp --dst-port 22 default"


def see_security_group(terminal: Terminal) -> None:
    """What is there before the first server."""
    terminal.say("Every project has a security group: it lets its members speak to each other, and nobody else in.")
    columns = "-c Direction -c Ethertype -c 'IP Protocol' -c 'Remote Security Group'"
    terminal.type(f"openstack security group rule list {columns} default")


def make_network(terminal: Terminal) -> None:
    """A network of the project's own."""
    terminal.say("A network. Here it is a VLAN, which OVN carries to KVM, and the distributed switch to vSphere.")
    terminal.type(f"openstack network create -c name -c mtu -c status {NETWORK}")
    # The guests' resolver is a name server of the site; names of servers are answered by OVN before it is asked.
    subnet = f"--network {NETWORK} --subnet-range {RANGE} --dns-nameserver {GATEWAY}"
    terminal.type(f"openstack subnet create -c name -c cidr -c allocation_pools {subnet} {NETWORK}")
    terminal.type(
        f"openstack {ADMIN} network show -c provider:network_type -c provider:physical_network "
        f"-c provider:segmentation_id {NETWORK}"
    )


def open_to_outside(terminal: Terminal, ground: Ground, names: tuple[str, ...]) -> dict[str, str]:
    """A router, and a floating IP for each server: name → address."""
    terminal.say(
        "While they boot: a network outside, of which this machine is the router; a router of the project's own; and a "
        "floating IP for each server."
    )
    provider = f"--external --provider-network-type flat --provider-physical-network {OUTSIDE}"
    terminal.type(f"openstack {ADMIN} network create -c name -c router:external {provider} {OUTSIDE}")
    subnet = f"--network {OUTSIDE} --subnet-range {SUBNET} --gateway {GATEWAY} --no-dhcp"
    terminal.type(f"openstack {ADMIN} subnet create -c name -c cidr -c gateway_ip {subnet} {OUTSIDE}")
    terminal.type(f"{ground.inside} ip address add {GATEWAY}/24 dev br-{OUTSIDE}")
    terminal.type(f"openstack router create -c name -c status --external-gateway {OUTSIDE} router")
    terminal.type(f"openstack router add subnet router {NETWORK}")
    floating = {}
    for name in names:
        create = f"openstack floating ip create -f value -c floating_ip_address {OUTSIDE}"
        floating[name] = terminal.type(create).strip()
        terminal.type(f"openstack server add floating ip {name} {floating[name]}")
    return floating


def reach_from_outside(terminal: Terminal, ground: Ground, floating: dict[str, str]) -> str:
    """Nobody gets in until the security group has a rule, whose id is returned; then the key is all it takes."""
    terminal.say(
        "From outside, by ssh: the security group lets nobody in, neither on KVM, where OVN filters, nor on vSphere, "
        "where the distributed switch does."
    )
    _expect_closed(terminal, ground, floating)
    terminal.say("One rule more, and nothing else. Both let ssh in, and the guests know the key.")
    rule = terminal.type(RULE).strip()
    for name, address in floating.items():
        terminal.type_until(f"{ground.ssh(address)} hostname", partial(_says, name), REACHED_TIMEOUT_SECONDS)
    return rule


def ping_each_other(terminal: Terminal, ground: Ground, floating: dict[str, str]) -> None:
    """From each guest to the other."""
    terminal.say("KVM and vSphere on one network: each guest pings the other, by its name, which OVN knows.")
    for name, other in zip(floating, reversed(floating), strict=True):
        command = f"{ground.ssh(floating[name])} ping -4 -c 3 {other}.{DOMAIN}"
        terminal.type_until(command, lambda said: ANSWERED in said, REACHED_TIMEOUT_SECONDS)


def close_again(terminal: Terminal, ground: Ground, floating: dict[str, str], rule: str) -> None:
    """Take the rule away."""
    terminal.say("Without the rule nobody gets in any more.")
    terminal.type(f"openstack security group rule delete {rule}")
    _expect_closed(terminal, ground, floating)


def _expect_closed(terminal: Terminal, ground: Ground, floating: dict[str, str]) -> None:
    for address in floating.values():
        terminal.type_in_vain(f"{ground.ssh(address)} hostname", NO_ANSWER, REACHED_TIMEOUT_SECONDS)


def _says(name: str, said: str) -> bool:
    return said.strip() == name


def remove(terminal: Terminal, floating: dict[str, str]) -> None:
    """Once the servers are gone."""
    terminal.type(f"openstack floating ip delete {' '.join(floating.values())}")
    terminal.type(f"openstack router remove subnet router {NETWORK}")
    terminal.type("openstack router delete router")
    terminal.type(f"openstack network delete {NETWORK}")
    terminal.type(f"openstack {ADMIN} network delete {OUTSIDE}")
