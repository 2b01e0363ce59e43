"""Names: stable in the cloud, unique and not too long in vCenter."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvisor.hypervisor.vsphere.names import MAX_NAME, HostNames, project_folder_name, vm_name

SERVER = "3f2a9c1b-0000-4000-8000-000000000001"


@given(st.text(max_size=255))
def test_a_vm_name_always_fits_and_ends_with_the_short_id(name: str) -> None:
    made = vm_name(name, SERVER)
    assert len(made) <= MAX_NAME
    assert made.endswith(" (3f2a9c1b)")
    assert "/" not in made
    assert "\\" not in made


def test_what_vcenter_escapes_is_escaped() -> None:
    assert vm_name("a/b\\c%", SERVER) == "a%2fb%5cc%25 (3f2a9c1b)"


def test_a_project_folder_is_found_by_the_projects_id_whatever_its_name() -> None:
    assert project_folder_name("x" * 200, "p" * 32).endswith(f"({'p' * 32})")
    assert len(project_folder_name("x" * 200, "p" * 32)) <= MAX_NAME


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "names.json"


def test_a_renamed_cluster_keeps_its_name_in_the_cloud(file: Path) -> None:
    assert HostNames(file, "vc1").name("i/c1", "Prod", "DC0", ["i/c1"]) == "Prod.vc1"
    assert HostNames(file, "vc1").name("i/c1", "Production", "DC0", ["i/c1"]) == "Prod.vc1"


def test_clusters_of_one_name_in_two_datacenters_are_told_apart(file: Path) -> None:
    names, present = HostNames(file, "vc1"), ["i/c1", "i/c2", "i/c3"]
    assert names.name("i/c1", "Prod", "DC0", present) == "Prod.vc1"
    assert names.name("i/c2", "Prod", "DC1", present) == "Prod.DC1.vc1"
    assert names.name("i/c3", "Prod", "DC1", present) == "Prod-2.DC1.vc1"


def test_a_cluster_put_into_vcenter_anew_gets_its_name_back(file: Path) -> None:
    names = HostNames(file, "vc1")
    names.name("i/c1", "Prod", "DC0", ["i/c1"])
    assert names.name("i/c9", "Prod", "DC0", ["i/c9"]) == "Prod.vc1"
