"""What a new cloud begins with: the default domain, roles, the first users and projects, and the catalogue."""

from datetime import datetime
from typing import Protocol

from sqlalchemy.exc import IntegrityError

from polyvisor.api.identity.keys import ensure_keys
from polyvisor.api.identity.passwords import Passwords
from polyvisor.model.assignment import Assignment
from polyvisor.model.catalog import CatalogService, Endpoint, Interface
from polyvisor.model.domain import Domain
from polyvisor.model.project import Project
from polyvisor.model.record import Record
from polyvisor.model.region import Region
from polyvisor.model.role import Role
from polyvisor.model.user import User
from polyvisor.store.database import Database
from polyvisor.store.store import Store

DEFAULT_DOMAIN = "default"
IMPLIED = (("admin", "manager"), ("manager", "member"), ("member", "reader"))
ROLES = {
    "admin": "Administers the whole cloud.",
    "manager": "Manages a project or a domain.",
    "member": "Uses a project.",
    "reader": "Looks, and changes nothing.",
    "service": "Services among themselves.",
}


class FirstUser(Record):
    """A user, its own project, and its role there."""

    name: str
    password: str
    project: str
    role: str


class CatalogItem(Record):
    """A service that is there, and the path of its endpoint."""

    type: str
    name: str
    path: str


class Ids(Protocol):
    """Gives fresh ids."""

    def __call__(self) -> str:
        """32 hexadecimal digits."""


def bootstrap(
    database: Database,
    passwords: Passwords,
    *,
    users: tuple[FirstUser, ...],
    base_url: str,
    catalog: tuple[CatalogItem, ...],
    region: str = "RegionOne",
    now: datetime,
    new_id: Ids,
    keep_endpoints: bool = False,
) -> frozenset[str]:
    """Make what is missing, in one transaction; what is there stays, passwords included. Returns the names of the users
    that were made, which is none where another process of the cloud was first.

    `base_url` is the address of the API, such as "http://127.0.0.1:8774"; endpoints of the catalogue's own services are
    set to it (with `keep_endpoints` only where there are none), those that an administrator has added are left alone. A
    user whose role is "admin" gets it on the system too.
    """
    with database.read() as store:
        unknown = [one for one in users if store.user.named(DEFAULT_DOMAIN, one.name) is None]
    hashes = {one.name: passwords.hash(one.password) for one in unknown}
    try:
        return _make(database, users, hashes, base_url.rstrip("/"), catalog, region, now, new_id, keep_endpoints)
    except IntegrityError:
        # Another process of this cloud has begun at the same moment, and has made it: look again.
        return _make(database, users, hashes, base_url.rstrip("/"), catalog, region, now, new_id, keep_endpoints)


def _make(
    database: Database,
    users: tuple[FirstUser, ...],
    hashes: dict[str, str],
    base_url: str,
    catalog: tuple[CatalogItem, ...],
    region: str,
    now: datetime,
    new_id: Ids,
    keep_endpoints: bool,
) -> frozenset[str]:
    with database.write() as store:
        store.one_at_a_time("first_start")
        ensure_keys(store, now, (new_id(), new_id()))
        if store.domain.find(DEFAULT_DOMAIN) is None:
            description = "The default domain."
            store.domain.create(Domain(id=DEFAULT_DOMAIN, name="Default", description=description))
        roles = _roles(store, new_id)
        made = frozenset(one.name for one in users if _user(store, one, roles, hashes, new_id))
        if store.region.find(region) is None:
            store.region.create(Region(id=region))
        for item in catalog:
            _item(store, item, base_url, region, new_id, keep_endpoints)
    return made


def _roles(store: Store, new_id: Ids) -> dict[str, Role]:
    found: dict[str, Role] = {}
    for name, description in ROLES.items():
        known = store.role.named(name)
        if known is None:
            known = Role(id=new_id(), name=name, description=description)
            store.role.create(known)
            for prior, implied in IMPLIED:
                if implied == name:
                    store.role.imply(found[prior], known)
        found[name] = known
    return found


def _user(store: Store, one: FirstUser, roles: dict[str, Role], hashes: dict[str, str], new_id: Ids) -> bool:
    project = store.project.named(DEFAULT_DOMAIN, one.project)
    if project is None:
        project = Project(id=new_id(), name=one.project, domain_id=DEFAULT_DOMAIN)
        store.project.create(project)
    if store.user.named(DEFAULT_DOMAIN, one.name) is not None or one.name not in hashes:
        return False
    user = User(
        id=new_id(),
        name=one.name,
        domain_id=DEFAULT_DOMAIN,
        default_project_id=project.id,
        password_hash=hashes[one.name],
    )
    store.user.create(user)
    role_id = roles[one.role].id
    store.assignment.grant(Assignment(role_id=role_id, user_id=user.id, project_id=project.id))
    if one.role == "admin":
        store.assignment.grant(Assignment(role_id=role_id, user_id=user.id, system=True))
    return True


def _item(store: Store, item: CatalogItem, base_url: str, region: str, new_id: Ids, keep_endpoints: bool) -> None:
    known = store.catalog.services(service_type=item.type, name=item.name)
    service = known[0] if known else CatalogService(id=new_id(), type=item.type, name=item.name)
    if not known:
        store.catalog.create_service(service)
    url = f"{base_url}{item.path}"
    endpoints = {
        endpoint.interface: endpoint for endpoint in store.catalog.endpoints(service_id=service.id, region_id=region)
    }
    for interface in Interface:
        endpoint = endpoints.get(interface)
        if endpoint is None:
            store.catalog.create_endpoint(
                Endpoint(id=new_id(), service_id=service.id, interface=interface, region_id=region, url=url)
            )
        elif endpoint.url != url and not keep_endpoints:
            store.catalog.update_endpoint(endpoint.id, {"url": url})
