"""Flavors, their extra specs, and who may use them."""

from typing import Any

import pytest

from tests.api.client import Answer, ApiClient
from tests.api.cloud import ApiCloud
from tests.api.compute.conftest import at
from tests.api.compute.estate import NOW

FLAVORS = "/compute/v2.1/flavors"
PRIVATE: dict[str, Any] = {"os-flavor-access:is_public": False}
EPHEMERAL: dict[str, Any] = {"OS-FLV-EXT-DATA:ephemeral": 3}


def _make(cloud: ApiCloud, name: str, version: str = "2.1", **fields: Any) -> dict[str, Any]:
    answer = at(cloud.admin, version).post(
        FLAVORS, {"flavor": {"name": name, "ram": 512, "vcpus": 1, "disk": 1, **fields}}
    )
    assert answer.status == 200, answer
    made: dict[str, Any] = answer.body["flavor"]
    return made


def _names(answer: Answer) -> list[str]:
    assert answer.status == 200, answer
    return [flavor["name"] for flavor in answer.body["flavors"]]


def _message(answer: Answer) -> str:
    [error] = answer.body.values()
    assert error["code"] == answer.status
    return str(error["message"])


def test_a_flavor_is_shown_as_it_was_made(cloud: ApiCloud) -> None:
    made = _make(cloud, "m1", id="7", swap=64, rxtx_factor=1.5, **EPHEMERAL)
    shown = cloud.reader.get(f"{FLAVORS}/7").body["flavor"]
    assert shown == made
    links = shown.pop("links")
    assert shown == {
        "id": "7",
        "name": "m1",
        "ram": 512,
        "vcpus": 1,
        "disk": 1,
        "swap": 64,
        "OS-FLV-EXT-DATA:ephemeral": 3,
        "OS-FLV-DISABLED:disabled": False,
        "os-flavor-access:is_public": True,
        "rxtx_factor": 1.5,
    }
    assert [link["rel"] for link in links] == ["self", "bookmark"]
    assert links[0]["href"].endswith("/compute/v2.1/flavors/7")


def test_fields_begin_at_their_microversion(cloud: ApiCloud) -> None:
    _make(cloud, "m1", "2.55", id="7", description="small")
    reader = cloud.reader
    assert "description" not in at(reader, "2.54").get(f"{FLAVORS}/7").body["flavor"]
    assert at(reader, "2.55").get(f"{FLAVORS}/7").body["flavor"]["description"] == "small"
    assert at(reader, "2.55").get(FLAVORS).body["flavors"][0]["description"] == "small"
    assert "extra_specs" not in at(reader, "2.60").get(f"{FLAVORS}/7").body["flavor"]
    assert at(reader, "2.61").get(f"{FLAVORS}/7").body["flavor"]["extra_specs"] == {}
    assert at(reader, "2.74").get(f"{FLAVORS}/7").body["flavor"]["swap"] == ""
    assert at(reader, "2.75").get(f"{FLAVORS}/7").body["flavor"]["swap"] == 0


def test_the_description_can_be_changed_from_2_55_on(cloud: ApiCloud) -> None:
    _make(cloud, "m1", id="7")
    changed = at(cloud.admin, "2.55").put(f"{FLAVORS}/7", {"flavor": {"description": "tiny"}})
    assert changed.status == 200
    assert changed.body["flavor"]["description"] == "tiny"
    assert at(cloud.admin, "2.54").put(f"{FLAVORS}/7", {"flavor": {"description": "x"}}).status == 404
    assert at(cloud.admin, "2.55").put(f"{FLAVORS}/none", {"flavor": {"description": "x"}}).status == 404


def test_an_id_is_made_where_none_is_given(cloud: ApiCloud) -> None:
    ids = {_make(cloud, "a")["id"], _make(cloud, "b", id="auto")["id"], _make(cloud, "c", id=None)["id"]}
    assert {len(each) for each in ids} == {36}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"name": "x" * 256}, "name"),
        ({"name": ""}, "name"),
        ({"name": " x"}, "name"),
        ({"ram": 0}, "flavor.ram"),
        ({"ram": "many"}, "ram"),
        ({"ram": 2**31}, "flavor.ram"),
        ({"vcpus": 0}, "flavor.vcpus"),
        ({"disk": -1}, "flavor.disk"),
        ({"id": "a/b"}, "id"),
        ({"rxtx_factor": 0}, "rxtx_factor"),
        ({"os-flavor-access:is_public": "perhaps"}, "is_public"),
        ({"color": "red"}, "color"),
        ({"description": "too early"}, "description"),
    ],
)
def test_what_is_wrong_with_a_flavor_is_named(cloud: ApiCloud, fields: dict[str, Any], named: str) -> None:
    body = {"flavor": {"name": "m1", "ram": 512, "vcpus": 1, "disk": 1, **fields}}
    answer = cloud.admin.post(FLAVORS, body)
    assert answer.status == 400
    assert named in _message(answer)
    assert _names(cloud.admin.get(FLAVORS)) == []


def test_names_and_ids_are_taken_once(cloud: ApiCloud) -> None:
    _make(cloud, "m1", id="7")
    body = {"flavor": {"name": "m1", "ram": 512, "vcpus": 1, "disk": 1, "id": "8"}}
    same_name = cloud.admin.post(FLAVORS, body)
    same_id = cloud.admin.post(FLAVORS, {"flavor": {**body["flavor"], "name": "m2", "id": "7"}})
    assert (same_name.status, same_id.status) == (409, 409)
    assert "m1" in _message(same_name)


def test_only_administrators_make_and_delete_flavors(cloud: ApiCloud) -> None:
    _make(cloud, "m1", id="7")
    body = {"flavor": {"name": "m2", "ram": 512, "vcpus": 1, "disk": 1}}
    assert cloud.member.post(FLAVORS, body).status == 403
    assert cloud.member.delete(f"{FLAVORS}/7").status == 403
    assert cloud.admin.delete(f"{FLAVORS}/7").status == 202
    assert cloud.admin.get(f"{FLAVORS}/7").status == 404
    assert cloud.admin.delete(f"{FLAVORS}/7").status == 404


def test_private_flavors_are_for_the_projects_that_have_access(cloud: ApiCloud) -> None:
    _make(cloud, "public", id="1")
    _make(cloud, "private", id="2", **PRIVATE)
    assert _names(cloud.member.get(FLAVORS, is_public="None")) == ["public"]
    assert cloud.member.get(f"{FLAVORS}/2").status == 404
    assert _names(cloud.admin.get(FLAVORS)) == ["public"]
    assert _names(cloud.admin.get(FLAVORS, is_public="None")) == ["public", "private"]
    assert _names(cloud.admin.get(FLAVORS, is_public="false")) == ["private"]
    demo = cloud.project_id("demo")
    given = cloud.admin.post(f"{FLAVORS}/2/action", {"addTenantAccess": {"tenant": demo}})
    assert given.body == {"flavor_access": [{"flavor_id": "2", "tenant_id": demo}]}
    assert _names(cloud.member.get(FLAVORS)) == ["public", "private"]
    assert cloud.member.get(f"{FLAVORS}/2").status == 200
    assert cloud.other.get(f"{FLAVORS}/2").status == 404
    taken = cloud.admin.post(f"{FLAVORS}/2/action", {"removeTenantAccess": {"tenant": demo}})
    assert taken.body == {"flavor_access": []}
    assert cloud.member.get(f"{FLAVORS}/2").status == 404


def test_access_is_given_once_to_projects_that_there_are(cloud: ApiCloud) -> None:
    _make(cloud, "private", id="2", **PRIVATE)
    _make(cloud, "public", id="1")
    give = {"addTenantAccess": {"tenant": cloud.project_id("demo")}}
    assert cloud.admin.post(f"{FLAVORS}/2/action", {"removeTenantAccess": give["addTenantAccess"]}).status == 404
    assert cloud.admin.post(f"{FLAVORS}/2/action", give).status == 200
    assert cloud.admin.post(f"{FLAVORS}/2/action", give).status == 409
    assert cloud.admin.post(f"{FLAVORS}/2/action", {"addTenantAccess": {"tenant": "nobody"}}).status == 400
    assert at(cloud.admin, "2.7").post(f"{FLAVORS}/1/action", give).status == 409
    assert cloud.admin.get(f"{FLAVORS}/1/os-flavor-access").status == 404
    assert cloud.member.post(f"{FLAVORS}/2/action", give).status == 403
    assert cloud.admin.delete(f"{FLAVORS}/2").status == 202


def test_lists_are_filtered_sorted_and_paged_in_one_statement(cloud: ApiCloud) -> None:
    for name, ram, disk in (("a", 512, 1), ("b", 1024, 20), ("c", 2048, 5)):
        _make(cloud, name, id=name, ram=ram, disk=disk)
    assert _names(cloud.member.get(FLAVORS, minRam=1024)) == ["b", "c"]
    assert _names(cloud.member.get(FLAVORS, minDisk=6)) == ["b"]
    assert _names(cloud.member.get(FLAVORS, sort_key="memory_mb", sort_dir="desc")) == ["c", "b", "a"]
    assert _names(cloud.member.get(FLAVORS, sort_key="root_gb", marker="a")) == ["c", "b"]
    first = cloud.member.get(f"{FLAVORS}/detail", limit=2)
    assert _names(first) == ["a", "b"]
    [link] = first.body["flavors_links"]
    assert link["rel"] == "next"
    rest = cloud.member.get(link["href"].partition("cloud.test")[2])
    assert _names(rest) == ["c"]
    assert "flavors_links" not in rest.body
    alone = cloud.member.get(f"{FLAVORS}/detail").statements
    _make(cloud, "d")
    assert cloud.member.get(f"{FLAVORS}/detail").statements == alone
    assert alone <= _overhead(cloud.member) + 1


def _overhead(client: ApiClient) -> int:
    """Statements that knowing the caller takes."""
    return client.get("/compute/v2.1/extensions").statements


@pytest.mark.parametrize(
    "query",
    [
        {"limit": -1},
        {"limit": "x"},
        {"marker": "gone"},
        {"minDisk": "x"},
        {"minRam": -1},
        {"minRam": 10**30},
        {"sort_key": "color"},
        {"sort_dir": "up"},
    ],
)
def test_a_list_refuses_what_it_cannot_do(cloud: ApiCloud, query: dict[str, Any]) -> None:
    assert cloud.member.get(FLAVORS, **query).status == 400


def test_unknown_query_parameters_are_refused_from_2_75_on(cloud: ApiCloud) -> None:
    assert at(cloud.member, "2.74").get(FLAVORS, color="red").status == 200
    assert at(cloud.member, "2.75").get(FLAVORS, color="red").status == 400
    assert cloud.admin.get(FLAVORS, is_public="perhaps").status == 400


def test_extra_specs_are_set_shown_and_removed(cloud: ApiCloud) -> None:
    _make(cloud, "m1", id="7")
    specs = f"{FLAVORS}/7/os-extra_specs"
    made = cloud.admin.post(specs, {"extra_specs": {"trait:HW_CPU_X86_AVX2": "required", "my:n": 3}})
    assert made.body == {"extra_specs": {"trait:HW_CPU_X86_AVX2": "required", "my:n": "3"}}
    assert cloud.admin.put(f"{specs}/my:n", {"my:n": "4"}).body == {"my:n": "4"}
    assert cloud.reader.get(specs).body == {"extra_specs": {"trait:HW_CPU_X86_AVX2": "required", "my:n": "4"}}
    assert cloud.reader.get(f"{specs}/my:n").body == {"my:n": "4"}
    assert cloud.admin.delete(f"{specs}/my:n").status == 200
    assert cloud.reader.get(f"{specs}/my:n").status == 404
    assert cloud.admin.delete(f"{specs}/my:n").status == 404
    assert cloud.member.post(specs, {"extra_specs": {"a": "b"}}).status == 403
    assert cloud.admin.post(f"{FLAVORS}/none/os-extra_specs", {"extra_specs": {"a": "b"}}).status == 404
    shown = at(cloud.reader, "2.61").get(f"{FLAVORS}/7").body["flavor"]["extra_specs"]
    assert shown == {"trait:HW_CPU_X86_AVX2": "required"}


@pytest.mark.parametrize("body", [{"a": "1"}, {"my:n": "1", "b": "2"}, {}, {"my:n": ["1"]}, {"my:n": "x" * 256}])
def test_one_extra_spec_is_the_one_in_the_address(cloud: ApiCloud, body: dict[str, Any]) -> None:
    _make(cloud, "m1", id="7")
    assert cloud.admin.put(f"{FLAVORS}/7/os-extra_specs/my:n", body).status == 400


@pytest.mark.parametrize(
    ("key", "value", "status"),
    [
        ("hw:cpu_policy", "dedicated", 200),
        ("hw:cpu_policy", "devoted", 400),
        ("hw:cpu_polcy", "dedicated", 400),
        ("hw:numa_nodes", "2", 200),
        ("hw:numa_nodes", "0", 400),
        ("hw:numa_cpus.0", "0-3,^2", 200),
        ("hw:mem_page_size", "2MB", 200),
        ("trait:HW_CPU_X86_AVX2", "required", 200),
        ("trait1:HW_CPU_X86_AVX2", "wanted", 400),
        ("resources:VCPU", "4", 200),
        ("resources:VCPU", "four", 400),
        ("os:secure_boot", "required", 200),
        ("quota:cpu_quota", "-1", 200),
        ("capabilities:hypervisor_type", "s== kvm", 200),
        ("mine:cpu_polcy", "anything", 200),
        ("plain", "anything", 200),
    ],
)
def test_extra_specs_of_known_namespaces_are_checked_from_2_86_on(
    cloud: ApiCloud, key: str, value: str, status: int
) -> None:
    _make(cloud, "m1", id="7")
    specs = f"{FLAVORS}/7/os-extra_specs"
    assert at(cloud.admin, "2.86").post(specs, {"extra_specs": {key: value}}).status == status
    assert at(cloud.admin, "2.86").put(f"{specs}/{key}", {key: value}).status == status
    assert at(cloud.admin, "2.85").post(specs, {"extra_specs": {key: value}}).status == 200


def test_a_new_cloud_gets_flavors_once(cloud: ApiCloud) -> None:
    for _ in range(2):
        with cloud.database.write() as store:
            store.flavor.bootstrap(NOW)
    sizes = ("large", "medium", "nano", "small", "tiny", "xlarge")
    assert sorted(_names(cloud.member.get(FLAVORS))) == [f"m1.{size}" for size in sizes]
    cloud.admin.delete(f"{FLAVORS}/42")
    with cloud.database.write() as store:
        store.flavor.bootstrap(NOW)
    assert "m1.nano" not in _names(cloud.member.get(FLAVORS))
