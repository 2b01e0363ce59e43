"""What the first start makes, and every later one finds: the cloud's id, its users, and the clients' clouds.yaml."""

import json
import secrets
import uuid
from datetime import datetime
from pathlib import Path

from polyvisor.api.identity.bootstrap import CatalogItem, FirstUser, bootstrap
from polyvisor.api.identity.passwords import Passwords
from polyvisor.model.record import Record
from polyvisor.serve.files import write_private
from polyvisor.store.database import Database

_CATALOG = (
    CatalogItem(type="identity", name="polyvisor-identity", path="/identity/v3"),
    CatalogItem(type="image", name="polyvisor-image", path="/image"),
    CatalogItem(type="compute", name="polyvisor-compute", path="/compute/v2.1"),
)


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
) -> str:
    """Make what is missing, and write DIR/clouds.yaml; returns the cloud's id. Repeatable at any moment."""
    path = data / "clouds.yaml"
    first = _known_passwords(path)
    if first is None:
        # Written before the users are made: a kill in between leaves passwords that the next start gives them.
        first = FirstPasswords(admin=secrets.token_urlsafe(18), member=secrets.token_urlsafe(18))
    write_private(path, clouds_yaml(url, region, first, authority).encode())
    bootstrap(
        database,
        passwords,
        users=(
            FirstUser(name="admin", password=first.admin, project="admin", role="admin"),
            FirstUser(name="demo", password=first.member, project="demo", role="member"),
        ),
        base_url=url,
        catalog=_CATALOG,
        region=region,
        now=now,
        new_id=lambda: uuid.uuid4().hex,
    )
    with database.write() as store:
        cloud_id = store.cloud.id(str(uuid.uuid4()))
        store.flavor.bootstrap(now)
    return cloud_id


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
    head = "# Written by `polyvisor up`: keep it, it holds the only copy of these passwords. (JSON is YAML, too.)\n"
    return head + json.dumps({"clouds": clouds}, indent=2) + "\n"
