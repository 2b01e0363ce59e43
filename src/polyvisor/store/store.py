"""The store of one transaction: every noun's statements, by the noun's name."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

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
from polyvisor.store.default_security_group_rule import DefaultSecurityGroupRules
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
from polyvisor.store.port_binding import PortBindings
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

T = TypeVar("T")


class Lock(Protocol):
    """A lock between threads."""

    def acquire(self) -> bool:
        """Wait for it."""

    def release(self) -> None:
        """Let go of it."""


class Noun(Generic[T]):
    """One noun's statements, made when a transaction first asks for them."""

    def __init__(self, kind: "Callable[[Store], T]") -> None:
        self._kind = kind

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, store: "Store", owner: type) -> T:
        found = store.__dict__[self._name] = self._kind(store)
        return found


class Store:
    """What one transaction can read and write. Not shared between threads; ends with its transaction."""

    connection: Connection

    address_group = Noun(AddressGroups)
    """Address groups."""
    address_scope = Noun(AddressScopes)
    """Address scopes."""
    agent = Noun(Agents)
    """Agents, and the places that each may serve."""
    aggregate = Noun(Aggregates)
    """Host aggregates and the zones they make."""
    application_credential = Noun(ApplicationCredentials)
    """Application credentials."""
    assignment = Noun(Assignments)
    """Role assignments."""
    authority = Noun(Authorities)
    """The authority that signs for agents."""
    catalog = Noun(Catalog)
    """The service catalogue."""
    change = Noun(lambda store: Changes(store.connection))
    """Change counters."""
    cloud = Noun(Clouds)
    """The cloud's own facts."""
    control = Noun(Controls)
    """Processes that schedule and run operations."""
    domain = Noun(Domains)
    """Domains."""
    flavor = Noun(Flavors)
    """Flavors, and who may use them."""
    floating_ip = Noun(FloatingIps)
    """Floating IPs."""
    group = Noun(Groups)
    """Groups of users."""
    host = Noun(Hosts)
    """Hosts, their capacity, and the claims on them."""
    hypervisor = Noun(Hypervisors)
    """Hosts, as the Compute API lists them."""
    image = Noun(Images)
    """Images, and the uploads that hold them."""
    image_member = Noun(ImageMembers)
    """The projects that images are shared with."""
    join_token = Noun(JoinTokens)
    """Tokens with which agents join."""
    keypair = Noun(Keypairs)
    """Users' key pairs."""
    metadata_port = Noun(MetadataPorts)
    """Who asks the metadata service."""
    migration = Noun(Migrations)
    """Servers' ways from host to host."""
    network = Noun(Networks)
    """Networks."""
    network_auto = Noun(AutoNetworks)
    """Networks for projects that name none."""
    network_intent = Noun(NetworkIntents)
    """What network backends have to look at again."""
    network_port = Noun(NetworkPorts)
    """The ports on a network or a subnet."""
    network_quota = Noun(NetworkQuotas)
    """Projects' limits in the Networking API."""
    network_snapshot = Noun(NetworkSnapshots)
    """What network backends are handed."""
    operation = Noun(Operations)
    """Durable operations."""
    place = Noun(HeldPlaces)
    """Places, and who holds each of them."""
    port = Noun(Ports)
    """Ports, and the addresses that they have."""
    port_binding = Noun(PortBindings)
    """Bindings of ports that are not active."""
    port_forwarding = Noun(PortForwardings)
    """Forwarded ports of floating IPs."""
    project = Noun(Projects)
    """Projects."""
    qos_policy = Noun(QosPolicies)
    """QoS policies, with their rules."""
    quota = Noun(Quotas)
    """Projects' limits, and whether there is room."""
    rbac_policy = Noun(RbacPolicies)
    """RBAC policies of the Networking API."""
    region = Noun(Regions)
    """Regions."""
    role = Noun(Roles)
    """Roles, and which implies which."""
    router = Noun(Routers)
    """Routers."""
    router_gateway = Noun(RouterGateways)
    """Routers' ways out."""
    router_interface = Noun(RouterInterfaces)
    """Routers' interfaces."""
    default_security_group_rule = Noun(DefaultSecurityGroupRules)
    """What new security groups begin with."""
    security_group = Noun(SecurityGroups)
    """Security groups, with their rules."""
    security_group_rule = Noun(SecurityGroupRules)
    """Rules of security groups."""
    segment = Noun(Segments)
    """Segments of networks."""
    server = Noun(Servers)
    """Servers."""
    server_password = Noun(ServerPasswords)
    """Passwords that guests have posted."""
    server_port = Noun(ServerPorts)
    """Servers' ports, as lists of servers show them."""
    subnet = Noun(Subnets)
    """Subnets."""
    subnet_pool = Noun(SubnetPools)
    """Subnet pools."""
    tenant_usage = Noun(TenantUsages)
    """What projects used."""
    token = Noun(Tokens)
    """Tokens: revoked ones, and what a token stands for."""
    token_key = Noun(TokenKeys)
    """The keys that seal tokens."""
    trunk = Noun(Trunks)
    """Trunks, with the ports they carry."""
    user = Noun(Users)
    """Users, and their failed logins."""

    def __init__(self, connection: Connection, signals: Signals) -> None:
        self.connection = connection
        self._signals = signals
        self._wake: dict[str, None] = {}
        self.trace = ""
        """The `traceparent` of what is done in this transaction: operations that it begins carry it on."""
        self._afterwards: list[Callable[[], None]] = []
        self.rolled_back: list[Callable[[], None]] = []
        """Called where the transaction is undone: what was remembered of it must be forgotten."""
        self._held: list[Lock] = []

    def wake(self, subject: str) -> None:
        """Raise `subject` once the transaction is committed."""
        self._wake[subject] = None

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
