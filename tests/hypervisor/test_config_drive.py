"""The config drive holds what it should, for every reader, and the same bytes each time."""

import base64
import io
import shutil
import subprocess
import time
from pathlib import Path

import pycdlib
import pytest

from polyvisor.hypervisor.config_drive import LABEL, build, build_image, contents
from polyvisor.hypervisor.driver import GuestSpec, HypervisorError

SERVER_ID = "7f0bb2b5-3f7c-4ab1-a5c2-2b8d3a1f5e01"
META = '{"uuid": "7f0bb2b5", "hostname": "größe"}'


def spec(**changes: object) -> GuestSpec:
    files = {
        "openstack/latest/meta_data.json": META,
        "openstack/2018-08-27/meta_data.json": META,
        "ec2/latest/meta-data.json": "{}",
    }
    given: dict[str, object] = {
        "server_id": SERVER_ID, "name": "one", "hostname": "one", "project_id": "p", "project_name": "p", "vcpus": 1,
        "memory_mib": 64, "root_gib": 1, "image": None, "config_drive": True, "metadata": files,
        "user_data": base64.b64encode(b"#!/bin/sh\necho hello\n").decode(),
    }  # fmt: skip
    return GuestSpec(**(given | changes))  # type: ignore[arg-type]


def read(image: bytes, **path: str) -> bytes:
    iso, data = pycdlib.PyCdlib(), io.BytesIO()
    iso.open_fp(io.BytesIO(image))
    iso.get_file_from_iso_fp(data, **path)
    iso.close()
    return data.getvalue()


@pytest.mark.parametrize("tree", ["rr_path", "joliet_path"])
def test_every_reader_finds_every_file_under_its_own_name(tree: str) -> None:
    given = spec()
    image = build(given)
    for path, data in contents(given).items():
        assert read(image, **{tree: f"/{path}"}) == data


def test_user_data_lies_beside_each_openstack_version_and_nowhere_else() -> None:
    found = {path for path, data in contents(spec()).items() if data == b"#!/bin/sh\necho hello\n"}
    assert found == {"openstack/latest/user_data", "openstack/2018-08-27/user_data"}


def test_the_label_is_the_one_that_guests_search_for(tmp_path: Path) -> None:
    file = tmp_path / "drive.iso"
    file.write_bytes(build(spec()))
    blkid = shutil.which("blkid") or "/usr/sbin/blkid"
    told = subprocess.run(
        [blkid, "-p", "-o", "export", file], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert f"LABEL={LABEL}" in told
    assert "TYPE=iso9660" in told


@pytest.mark.parametrize("tree", ["-R", "-J"])
def test_another_tool_lists_the_same_tree(tmp_path: Path, tree: str) -> None:
    file = tmp_path / "drive.iso"
    file.write_bytes(build(spec()))
    listed = subprocess.run(["isoinfo", tree, "-f", "-i", file], capture_output=True, text=True, check=True).stdout
    assert {f"/{path}" for path in contents(spec())} <= set(listed.split())


def test_the_same_files_make_the_same_bytes_at_another_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # Long names and many files need Rock Ridge's continuation areas and several sectors of records: dates lie there
    # too.
    files = {f"openstack/content/{number:04}-{'x' * 59}": b"data" for number in range(40)} | {
        "openstack/latest/meta_data.json": b"{}"
    }
    first = build_image(files)
    monkeypatch.setattr(time, "time", lambda: 1_900_000_000.0)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert build_image(dict(reversed(files.items()))) == first
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_another_file_makes_other_bytes() -> None:
    assert build_image({"a": b"1"}) != build_image({"a": b"2"})


def test_an_empty_drive_still_carries_its_label() -> None:
    assert LABEL.encode() in build_image({})


@pytest.mark.parametrize("path", ["/etc/passwd", "a/../b", "", "a//b", "x" * 65, "a/b/c/d/e/f/g/h"])
def test_a_path_that_cannot_stand_on_it_is_refused(path: str) -> None:
    with pytest.raises(HypervisorError, match="config drive"):
        build_image({path: b""})


def test_user_data_that_is_not_base64_is_refused_by_a_sentence() -> None:
    with pytest.raises(HypervisorError, match="base64"):
        build(spec(user_data="%%%"))
