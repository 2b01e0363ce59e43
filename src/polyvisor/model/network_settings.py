"""`[network]`: the backend of networks, and what networks look like where nobody says otherwise."""

from typing import Literal

from polyvisor.model.record import Record


class PhysicalNetwork(Record):
    """One of `[[network.physical]]`: a network of the site that hosts are connected to."""

    name: str
    """As hosts map it: ovn-bridge-mappings, or a driver's `switches`."""
    vlans: tuple[str, ...] = ()
    """VLANs that networks of projects may be given, "100:199" each; administrators may name others."""
    flat: bool = False
    """Whether a network without a VLAN tag may be made on it."""
    mtu: int = 1500
    """The largest IP packet that it carries, in bytes."""
    bridge: str = ""
    """Open vSwitch bridge that `polyvisor up` maps it to where it makes its machine a chassis; empty = "br-" and the
    name."""


class NetworkSettings(Record):
    """The table `[network]`."""

    backend: Literal["auto", "ovn", "simulated", "none"] = "auto"
    """"ovn", "simulated" (records alone, for simulated hosts), "none", or "auto": OVN where a northbound database is
    named or `polyvisor up` may start one, simulated where all hosts are simulated, else none."""
    ovn_northbound: str = ""
    """Addresses of OVN's northbound database, "ssl:10.0.0.1:6641,ssl:10.0.0.2:6641"; "unix:/PATH" on one machine."""
    ovn_southbound: str = ""
    """Addresses of OVN's southbound database, in the same form."""
    ovn_tls_certificate: str = ""
    """PEM file with the certificate shown to OVN's databases where they are reached by ssl."""
    ovn_tls_key: str = ""
    """PEM file with that certificate's key."""
    ovn_tls_authority: str = ""
    """PEM file with the authority that signed the databases' certificates."""
    distributed_floating_ips: bool = False
    """Whether floating IPs of servers on an overlay are translated on the server's own chassis instead of a gateway;
    each chassis must then reach the external network."""
    tenant_network_types: tuple[Literal["geneve", "vlan"], ...] = ("geneve",)
    """Kinds of networks that projects' own are made of, the first that has room."""
    geneve_ids: str = "1:65535"
    """Identifiers for geneve networks."""
    overlay_mtu: int = 1500
    """The largest packet that the network below the overlay carries, in bytes; geneve takes 58 of it."""
    physical: tuple[PhysicalNetwork, ...] = ()
    """Networks of the site."""
    default_subnet_pool: str = "10.64.0.0/12"
    """Range of the default subnet pool that the first start makes, so that servers whose user names no network get one
    (`--nic auto`); empty = none is made."""
    dns_servers: tuple[str, ...] = ()
    """Resolvers that ports are given where their subnet names none."""
    dns_domain: str = "openstacklocal."
    """The domain of ports' names."""
    mac_prefix: str = "fa:16:3e"
    """How ports' MAC addresses begin."""
    sweep_seconds: float = 60.0
    """How often everything that the backend has is compared with the records."""
