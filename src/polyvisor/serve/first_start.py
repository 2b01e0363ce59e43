"""What the first start makes, and every later one finds: the cloud's id, its users, and the clients' clouds.yaml."""

import json
import logging
import secrets
import uuid
from datetime import datetime
from pathlib import Path

from sqlalchemy.exc import IntegrityError

from polyvisor.agent.private_file import write_private
from polyvisor.api.identity.bootstrap import DEFAULT_DOMAIN, CatalogItem, FirstUser, bootstrap
from polyvisor.api.identity.passwords import Passwords
from polyvisor.model.record import Record
from polyvisor.store.database import Database

log = logging.getLogger(__name__)

_CATALOG = (
    CatalogItem(type="identity", name="polyvisor-identity", path="/identity/v3"),
    CatalogItem(type="image", name="polyvisor-image", path="/image"),
    CatalogItem(type="compute", name="polyvisor-compute", path="/compute/v2.1"),
)
_NETWORK = CatalogItem(type="network", name="polyvisor-network", path="/network")


class FirstPasswords(Record):
    """Of the two users that the first start makes."""

    admin: str
    member: str


def prepare(
    database: Database,
    data: Path,
    passwords: Passwords,
    *,
    url: str,
    region: str,
    authority: Path | None,
    now: datetime,
    keep_endpoints: bool = False,
    networks: bool = False,
    default_subnet_pool: str = "",
) -> str:
    """Make what is missing, and write DIR/clouds.yaml; returns the cloud's id. Repeatable at any moment.

    `networks`: whether the catalogue is to name the Networking API, too. `default_subnet_pool`: the range for automatic
    networks; "" = none.

    Of several servers that begin at once, one makes the first users; only that one's clouds.yaml has their passwords.
    """
    path, pending = data / "clouds.yaml", data / "first-passwords"
    known, tried = _known_passwords(path), _known_passwords(pending)
    first = known or tried or FirstPasswords(admin=secrets.token_urlsafe(18), member=secrets.token_urlsafe(18))
    text = clouds_yaml(url, region, first, authority).encode()
    if known is None:
        # Written before the users are made: a kill in between leaves passwords that the next start knows.
        write_private(pending, text)
    made = bootstrap(
        database,
        passwords,
        users=(
            FirstUser(name="admin", password=first.admin, project="admin", role="admin"),
            FirstUser(name="demo", password=first.member, project="demo", role="member"),
        ),
        base_url=url,
        catalog=(*_CATALOG, _NETWORK) if networks else _CATALOG,
        region=region,
        now=now,
        new_id=lambda: uuid.uuid4().hex,
        keep_endpoints=keep_endpoints,
    )
    mine = known is not None or "admin" in made
    if mine or (tried is not None and _is_admins(database, passwords, first.admin, now)):
        _tell(path, text)
    else:
        log.info("another server has made this cloud: its clouds.yaml has the passwords of the first users")
    pending.unlink(missing_ok=True)
    with database.write() as store:
        cloud_id = store.cloud.id(str(uuid.uuid4()))
    with database.write() as store:
        store.default_security_group_rule.bootstrap(now)
        if networks:
            store.subnet_pool.bootstrap(default_subnet_pool, str(uuid.uuid4()), now)
    try:
        with database.write() as store:
            store.flavor.bootstrap(now)
    except IntegrityError:
        log.debug("another server has made the first flavors")
    return cloud_id


def _tell(path: Path, text: bytes) -> None:
    """The users are made, and these are their passwords."""
    write_private(path, text)


def _is_admins(database: Database, passwords: Passwords, password: str, now: datetime) -> bool:
    """Whether an earlier start of this very server has made the users, and was killed before it could say so."""
    with database.read() as store:
        admin = store.user.named(DEFAULT_DOMAIN, "admin")
    return admin is not None and passwords.check(admin.id, admin.password_hash, password, now)


def _known_passwords(path: Path) -> FirstPasswords | None:
    if not path.exists():
        return None
    # The file is JSON, which every YAML reader takes, so that none is needed here.
    try:
        clouds = json.loads(path.read_text(encoding="utf-8").partition("\n")[2])["clouds"]
        return FirstPasswords(
            admin=clouds["polyvisor-admin"]["auth"]["password"], member=clouds["polyvisor"]["auth"]["password"]
        )
    except (ValueError, KeyError, TypeError):
        return None


def clouds_yaml(url: str, region: str, passwords: FirstPasswords, authority: Path | None) -> str:
    """The text of clouds.yaml: `polyvisor-admin` and `polyvisor`."""
    clouds = {
        name: {
            "auth": {
                "auth_url": f"{url}/identity/v3",
                "username": user,
                "password": password,
                "project_name": project,
                "user_domain_name": "Default",
                "project_domain_name": "Default",
            },
            "region_name": region,
            "identity_api_version": "3",
            **({"cacert": str(authority)} if authority is not None else {}),
        }
        for name, user, password, project in (
            ("polyvisor-admin", "admin", passwords.admin, "admin"),
            ("polyvisor", "demo", passwords.member, "demo"),
        )
    }
    head = "# Written at the first start: keep it, it holds the only copy of these passwords. (JSON is YAML, too.)\n"
    return head + json.dumps({"clouds": clouds}, indent=2) + "\n"
