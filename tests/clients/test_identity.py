"""The unmodified `openstack` command and openstacksdk against the Identity service."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import openstack
import pytest
from keystoneauth1.exceptions import Unauthorized

from tests.clients.cloud import ADMIN, RunningCloud


@contextmanager
def domain(cloud: RunningCloud) -> Iterator[str]:
    """A domain of the test's own, gone after it with all that is in it."""
    name = f"bank-{uuid.uuid4().hex[:8]}"
    cloud.openstack("domain", "create", "--description", "Of the bank", name, cloud=ADMIN)
    try:
        yield name
    finally:
        cloud.openstack("domain", "set", "--disable", name, cloud=ADMIN)
        cloud.openstack("domain", "delete", name, cloud=ADMIN)
    left = cloud.ask("domain", "list", cloud=ADMIN)
    assert name not in [one["Name"] for one in left]


def test_a_member_gets_a_token_and_sees_its_own(cloud: RunningCloud) -> None:
    issued = cloud.ask("token", "issue")
    [project] = cloud.ask("project", "list", "--my-projects")
    assert issued["project_id"] == project["ID"]
    assert {"identity", "image", "compute"} <= {one["Type"] for one in cloud.ask("catalog", "list")}
    [version] = cloud.ask("versions", "show", "--service", "identity")
    assert version["Version"] == "3.14"


def test_a_member_may_not_list_users(cloud: RunningCloud) -> None:
    refused = cloud.refusal("user", "list")
    assert "identity:list_users" in refused
    assert "403" in refused


def test_projects_users_groups_and_roles(cloud: RunningCloud) -> None:
    with domain(cloud) as bank:
        project = cloud.ask("project", "create", "--domain", bank, "--tag", "gold", "trading", cloud=ADMIN)
        desk = cloud.ask("project", "create", "--domain", bank, "--parent", project["id"], "desk", cloud=ADMIN)
        user = cloud.ask(
            "user", "create", "--domain", bank, "--password", "secret", "--email", "ada@bank.test",
            "--project", project["id"], "ada", cloud=ADMIN,
        )  # fmt: skip
        group = cloud.ask("group", "create", "--domain", bank, "traders", cloud=ADMIN)
        assert project["tags"] == ["gold"]
        assert desk["parent_id"] == project["id"]
        assert (user["email"], user["default_project_id"]) == ("ada@bank.test", project["id"])
        cloud.openstack("group", "add", "user", group["id"], user["id"], cloud=ADMIN)
        said = cloud.openstack("group", "contains", "user", group["id"], user["id"], cloud=ADMIN)
        assert " in group " in said
        assert [one["Name"] for one in cloud.ask("user", "list", "--group", group["id"], cloud=ADMIN)] == ["ada"]

        cloud.openstack("role", "add", "--project", project["id"], "--user", user["id"], "member", cloud=ADMIN)
        cloud.openstack("role", "add", "--project", desk["id"], "--group", group["id"], "reader", cloud=ADMIN)
        cloud.openstack("role", "add", "--domain", bank, "--user", user["id"], "--inherited", "reader", cloud=ADMIN)
        cloud.openstack("role", "add", "--system", "all", "--user", user["id"], "reader", cloud=ADMIN)
        made = cloud.ask("role", "assignment", "list", "--user", user["id"], "--names", cloud=ADMIN)
        assert {(one["Role"], one["Project"], one["Domain"], one["System"]) for one in made} == {
            ("member", f"trading@{bank}", "", ""),
            ("reader", "", bank, ""),
            ("reader", "", "", "all"),
        }
        effective = cloud.ask("role", "assignment", "list", "--user", user["id"], "--effective", "--names", cloud=ADMIN)
        assert {(one["Role"], one["Project"]) for one in effective if one["Project"]} == {
            ("member", f"trading@{bank}"),
            ("reader", f"trading@{bank}"),
            ("reader", f"desk@{bank}"),
        }
        tagged = cloud.ask("project", "list", "--domain", bank, "--tags", "gold", cloud=ADMIN)
        assert [one["Name"] for one in tagged] == ["trading"]
        tree = cloud.ask("project", "show", "--children", project["id"], cloud=ADMIN)
        assert tree["subtree"] == {desk["id"]: None}

        cloud.openstack("user", "set", "--description", "First of all", "--disable", user["id"], cloud=ADMIN)
        shown = cloud.ask("user", "show", user["id"], cloud=ADMIN)
        assert (shown["enabled"], shown["description"]) == (False, "First of all")
        cloud.openstack("role", "remove", "--project", project["id"], "--user", user["id"], "member", cloud=ADMIN)
        cloud.openstack("group", "remove", "user", group["id"], user["id"], cloud=ADMIN)
        assert cloud.ask("user", "list", "--group", group["id"], cloud=ADMIN) == []
        cloud.openstack("project", "delete", desk["id"], cloud=ADMIN)


def test_the_default_roles_imply_each_other(cloud: RunningCloud) -> None:
    roles = cloud.ask("role", "list", cloud=ADMIN)
    assert {"admin", "manager", "member", "reader", "service"} <= {one["Name"] for one in roles}
    implied = cloud.ask("implied", "role", "list", cloud=ADMIN)
    assert {(one["Prior Role Name"], one["Implied Role Name"]) for one in implied} >= {
        ("admin", "manager"),
        ("manager", "member"),
        ("member", "reader"),
    }


def test_catalogue_entries(cloud: RunningCloud) -> None:
    region = cloud.ask("region", "create", "--parent-region", "RegionOne", "RegionTwo", cloud=ADMIN)
    assert region["parent_region"] == "RegionOne"
    service = cloud.ask("service", "create", "--name", "swift", "object-store", cloud=ADMIN)
    try:
        address = "http://127.0.0.1/v1/AUTH_%(project_id)s"
        made = cloud.ask("endpoint", "create", "--region", "RegionTwo", service["id"], "public", address, cloud=ADMIN)
        assert made["region_id"] == "RegionTwo"
        [endpoint] = cloud.ask("endpoint", "list", "--service", service["id"], cloud=ADMIN)
        assert endpoint["URL"] == address
        shown = cloud.ask("catalog", "show", "object-store")
        project_id = cloud.ask("token", "issue")["project_id"]
        assert shown["endpoints"][0]["url"] == f"http://127.0.0.1/v1/AUTH_{project_id}"
        cloud.openstack("region", "set", "--description", "Second", "RegionTwo", cloud=ADMIN)
        assert cloud.ask("region", "show", "RegionTwo", cloud=ADMIN)["description"] == "Second"
    finally:
        cloud.openstack("service", "delete", service["id"], cloud=ADMIN)
        cloud.openstack("region", "delete", "RegionTwo", cloud=ADMIN)


def test_an_application_credential_opens_its_project_until_it_is_deleted(cloud: RunningCloud) -> None:
    made = cloud.ask("application", "credential", "create", "--role", "reader", "terraform")
    connection = openstack.connect(
        load_yaml_config=False,
        load_envvars=False,
        auth_type="v3applicationcredential",
        auth={
            "auth_url": f"{cloud.url}/identity",
            "application_credential_id": made["ID"],
            "application_credential_secret": made["Secret"],
        },
    )
    access = connection.session.auth.get_access(connection.session)
    assert access.project_name == "demo"
    assert access.role_names == ["reader"]
    assert [one["Name"] for one in cloud.ask("application", "credential", "list")] == ["terraform"]
    cloud.openstack("application", "credential", "delete", "terraform")
    with pytest.raises(Unauthorized):
        list(connection.identity.regions())


def test_a_user_changes_its_own_password(cloud: RunningCloud) -> None:
    with domain(cloud) as bank:
        cloud.openstack("user", "create", "--domain", bank, "--password", "first", "grace", cloud=ADMIN)

        def login(password: str) -> openstack.connection.Connection:
            return openstack.connect(
                load_yaml_config=False,
                load_envvars=False,
                auth={"auth_url": f"{cloud.url}/identity", "username": "grace", "user_domain_name": bank,
                      "password": password},
            )  # fmt: skip

        grace = login("first")
        user_id = grace.session.get_user_id()
        body = {"user": {"password": "second", "original_password": "first"}}
        assert grace.identity.post(f"/users/{user_id}/password", json=body).status_code == 204
        with pytest.raises(openstack.exceptions.SDKException, match="HTTP 401"):
            login("first").authorize()
        assert login("second").authorize()
