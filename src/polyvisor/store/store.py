"""The store of one transaction: every noun's statements, by the noun's name."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Protocol

from sqlalchemy import Connection

from polyvisor.store.address_group import AddressGroups
from polyvisor.store.address_scope import AddressScopes
from polyvisor.store.agent import Agents
from polyvisor.store.aggregate import Aggregates
from polyvisor.store.application_credential import ApplicationCredentials
from polyvisor.store.assignment import Assignments
from polyvisor.store.authority import Authorities
from polyvisor.store.catalog import Catalog
from polyvisor.store.change import Changes
from polyvisor.store.cloud import Clouds
from polyvisor.store.control import Controls
from polyvisor.store.domain import Domains
from polyvisor.store.flavor import Flavors
from polyvisor.store.floating_ip import FloatingIps
from polyvisor.store.group import Groups
from polyvisor.store.held_place import HeldPlaces
from polyvisor.store.host import Hosts
from polyvisor.store.hypervisor import Hypervisors
from polyvisor.store.image import Images
from polyvisor.store.image_member import ImageMembers
from polyvisor.store.join_token import JoinTokens
from polyvisor.store.keypair import Keypairs
from polyvisor.store.locking import one_at_a_time, only_one
from polyvisor.store.metadata_port import MetadataPorts
from polyvisor.store.migration import Migrations
from polyvisor.store.network import Networks
from polyvisor.store.network_auto import AutoNetworks
from polyvisor.store.network_intent import NetworkIntents
from polyvisor.store.network_port import NetworkPorts
from polyvisor.store.network_quota import NetworkQuotas
from polyvisor.store.network_snapshot import NetworkSnapshots
from polyvisor.store.operation import Operations
from polyvisor.store.port import Ports
from polyvisor.store.port_forwarding import PortForwardings
from polyvisor.store.project import Projects
from polyvisor.store.qos_policy import QosPolicies
from polyvisor.store.quota import Quotas
from polyvisor.store.rbac_policy import RbacPolicies
from polyvisor.store.region import Regions
from polyvisor.store.role import Roles
from polyvisor.store.router import Routers
from polyvisor.store.router_gateway import RouterGateways
from polyvisor.store.router_interface import RouterInterfaces
from polyvisor.store.security_group import SecurityGroupRules, SecurityGroups
from polyvisor.store.segment import Segments
from polyvisor.store.server import Servers
from polyvisor.store.server_password import ServerPasswords
from polyvisor.store.server_port import ServerPorts
from polyvisor.store.signals import Signals
from polyvisor.store.subnet import Subnets
from polyvisor.store.subnet_pool import SubnetPools
from polyvisor.store.tenant_usage import TenantUsages
from polyvisor.store.token import Tokens
from polyvisor.store.token_key import TokenKeys
from polyvisor.store.trunk import Trunks
from polyvisor.store.user import Users


class Lock(Protocol):
    """A lock between threads."""

    def acquire(self) -> bool:
        """Wait for it."""

    def release(self) -> None:
        """Let go of it."""


class Store:
    """What one transaction can read and write. Not shared between threads; ends with its transaction."""

    def __init__(self, connection: Connection, signals: Signals) -> None:
        self.connection = connection
        self._signals = signals
        self._wake: list[str] = []
        self.trace = ""
        """The `traceparent` of what is done in this transaction: operations that it begins carry it on."""
        self._afterwards: list[Callable[[], None]] = []
        self.rolled_back: list[Callable[[], None]] = []
        """Called where the transaction is undone: what was remembered of it must be forgotten."""
        self._held: list[Lock] = []

    def wake(self, subject: str) -> None:
        """Raise `subject` once the transaction is committed."""
        if subject not in self._wake:
            self._wake.append(subject)

    def afterwards(self, act: Callable[[], None]) -> None:
        """Call `act` once the transaction is committed; never where it is rolled back."""
        self._afterwards.append(act)

    def hold(self, lock: Lock) -> None:
        """Keep this process's other transactions out of what `lock` guards, until this one has ended."""
        lock.acquire()
        self._held.append(lock)

    def one_at_a_time(self, name: str) -> None:
        """Wait for whichever transaction, in any process, is at work under this name, and hold the name until the end.

        It must come before the transaction reads what it works on.
        """
        one_at_a_time(self.connection, name)

    def only_one(self, name: str) -> bool:
        """Whether no other transaction, in any process, is at work under this name; where so, it is ours."""
        return only_one(self.connection, name)

    def committed(self, tell: Callable[[Iterable[str]], None] | None = None) -> None:
        """The transaction is in the database: tell whoever waits, here and (by `tell`) in other processes."""
        for subject in self._wake:
            self._signals.wake(subject)
        if tell is not None and self._wake:
            tell(self._wake)
        for act in self._afterwards:
            act()

    def end(self) -> None:
        """The transaction has ended, one way or the other: let go of what was held."""
        while self._held:
            self._held.pop().release()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part of the transaction that is undone by itself when it raises."""
        try:
            with self.connection.begin_nested():
                yield
        except BaseException:
            self.change.forget()
            raise

    @cached_property
    def agent(self) -> Agents:
        """Agents, and the places that each may serve."""
        return Agents(self)

    @cached_property
    def authority(self) -> Authorities:
        """The authority that signs for agents."""
        return Authorities(self)

    @cached_property
    def join_token(self) -> JoinTokens:
        """Tokens with which agents join."""
        return JoinTokens(self)

    @cached_property
    def place(self) -> HeldPlaces:
        """Places, and who holds each of them."""
        return HeldPlaces(self)

    @cached_property
    def aggregate(self) -> Aggregates:
        """Host aggregates and the zones they make."""
        return Aggregates(self)

    @cached_property
    def change(self) -> Changes:
        """Change counters."""
        return Changes(self.connection)

    @cached_property
    def control(self) -> Controls:
        """Processes that schedule and run operations."""
        return Controls(self)

    @cached_property
    def flavor(self) -> Flavors:
        """Flavors, and who may use them."""
        return Flavors(self)

    @cached_property
    def cloud(self) -> Clouds:
        """The cloud's own facts."""
        return Clouds(self)

    @cached_property
    def host(self) -> Hosts:
        """Hosts, their capacity, and the claims on them."""
        return Hosts(self)

    @cached_property
    def hypervisor(self) -> Hypervisors:
        """Hosts, as the Compute API lists them."""
        return Hypervisors(self)

    @cached_property
    def image(self) -> Images:
        """Images, and the uploads that hold them."""
        return Images(self)

    @cached_property
    def image_member(self) -> ImageMembers:
        """The projects that images are shared with."""
        return ImageMembers(self)

    @cached_property
    def keypair(self) -> Keypairs:
        """Users' key pairs."""
        return Keypairs(self)

    @cached_property
    def metadata_port(self) -> MetadataPorts:
        """Who asks the metadata service."""
        return MetadataPorts(self)

    @cached_property
    def migration(self) -> Migrations:
        """Servers' ways from host to host."""
        return Migrations(self)

    @cached_property
    def network(self) -> Networks:
        """Networks."""
        return Networks(self)

    @cached_property
    def segment(self) -> Segments:
        """Segments of networks."""
        return Segments(self)

    @cached_property
    def subnet(self) -> Subnets:
        """Subnets."""
        return Subnets(self)

    @cached_property
    def subnet_pool(self) -> SubnetPools:
        """Subnet pools."""
        return SubnetPools(self)

    @cached_property
    def address_scope(self) -> AddressScopes:
        """Address scopes."""
        return AddressScopes(self)

    @cached_property
    def rbac_policy(self) -> RbacPolicies:
        """RBAC policies of the Networking API."""
        return RbacPolicies(self)

    @cached_property
    def security_group(self) -> SecurityGroups:
        """Security groups, with their rules."""
        return SecurityGroups(self)

    @cached_property
    def security_group_rule(self) -> SecurityGroupRules:
        """Rules of security groups."""
        return SecurityGroupRules(self)

    @cached_property
    def address_group(self) -> AddressGroups:
        """Address groups."""
        return AddressGroups(self)

    @cached_property
    def router(self) -> Routers:
        """Routers."""
        return Routers(self)

    @cached_property
    def router_gateway(self) -> RouterGateways:
        """Routers' ways out."""
        return RouterGateways(self)

    @cached_property
    def router_interface(self) -> RouterInterfaces:
        """Routers' interfaces."""
        return RouterInterfaces(self)

    @cached_property
    def floating_ip(self) -> FloatingIps:
        """Floating IPs."""
        return FloatingIps(self)

    @cached_property
    def port_forwarding(self) -> PortForwardings:
        """Forwarded ports of floating IPs."""
        return PortForwardings(self)

    @cached_property
    def qos_policy(self) -> QosPolicies:
        """QoS policies, with their rules."""
        return QosPolicies(self)

    @cached_property
    def trunk(self) -> Trunks:
        """Trunks, with the ports they carry."""
        return Trunks(self)

    @cached_property
    def network_port(self) -> NetworkPorts:
        """The ports on a network or a subnet."""
        return NetworkPorts(self)

    @cached_property
    def network_quota(self) -> NetworkQuotas:
        """Projects' limits in the Networking API."""
        return NetworkQuotas(self)

    @cached_property
    def port(self) -> Ports:
        """Ports, and the addresses that they have."""
        return Ports(self)

    @cached_property
    def network_auto(self) -> AutoNetworks:
        """Networks for projects that name none."""
        return AutoNetworks(self)

    @cached_property
    def network_intent(self) -> NetworkIntents:
        """What network backends have to look at again."""
        return NetworkIntents(self)

    @cached_property
    def network_snapshot(self) -> NetworkSnapshots:
        """What network backends are handed."""
        return NetworkSnapshots(self)

    @cached_property
    def operation(self) -> Operations:
        """Durable operations."""
        return Operations(self)

    @cached_property
    def quota(self) -> Quotas:
        """Projects' limits, and whether there is room."""
        return Quotas(self)

    @cached_property
    def server(self) -> Servers:
        """Servers."""
        return Servers(self)

    @cached_property
    def server_password(self) -> ServerPasswords:
        """Passwords that guests have posted."""
        return ServerPasswords(self)

    @cached_property
    def server_port(self) -> ServerPorts:
        """Servers' ports, as lists of servers show them."""
        return ServerPorts(self)

    @cached_property
    def application_credential(self) -> ApplicationCredentials:
        """Application credentials."""
        return ApplicationCredentials(self)

    @cached_property
    def assignment(self) -> Assignments:
        """Role assignments."""
        return Assignments(self)

    @cached_property
    def catalog(self) -> Catalog:
        """The service catalogue."""
        return Catalog(self)

    @cached_property
    def domain(self) -> Domains:
        """Domains."""
        return Domains(self)

    @cached_property
    def group(self) -> Groups:
        """Groups of users."""
        return Groups(self)

    @cached_property
    def project(self) -> Projects:
        """Projects."""
        return Projects(self)

    @cached_property
    def region(self) -> Regions:
        """Regions."""
        return Regions(self)

    @cached_property
    def role(self) -> Roles:
        """Roles, and which implies which."""
        return Roles(self)

    @cached_property
    def tenant_usage(self) -> TenantUsages:
        """What projects used."""
        return TenantUsages(self)

    @cached_property
    def token(self) -> Tokens:
        """Tokens: revoked ones, and what a token stands for."""
        return Tokens(self)

    @cached_property
    def token_key(self) -> TokenKeys:
        """The keys that seal tokens."""
        return TokenKeys(self)

    @cached_property
    def user(self) -> Users:
        """Users, and their failed logins."""
        return Users(self)
