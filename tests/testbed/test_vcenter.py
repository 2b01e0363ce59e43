"""The test vCenter answers as vCenter does: sessions, inventory, updates, faults."""

import hashlib
import ssl
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from pyVmomi import vim, vmodl

from testbed import vcenter as launcher
from testbed.vcenter import TestVcenter, VcenterError
from tests.testbed.vcenter_client import Client, TaskFailed, connected, controller, disk, network_card, serial

pytestmark = pytest.mark.xdist_group("test-vcenter")


@pytest.fixture(scope="module")
def vcenter() -> Iterator[TestVcenter]:
    with TestVcenter(local_datastores=True) as running:
        yield running


@pytest.fixture
def client(vcenter: TestVcenter) -> Iterator[Client]:
    with connected(vcenter) as connection:
        yield connection
        connection.admin("DELETE", "faults")
        for machine in list(connection.datacenter.vmFolder.childEntity):
            if isinstance(machine, vim.VirtualMachine):
                connection.remove(machine)
            else:
                connection.wait(machine.Destroy_Task())


def test_its_thumbprints_are_those_of_the_certificate_it_serves(vcenter: TestVcenter) -> None:
    served = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", vcenter.port)))
    assert vcenter.thumbprint.replace(":", "") == hashlib.sha1(served).hexdigest().upper()
    assert vcenter.thumbprint_sha256.replace(":", "") == hashlib.sha256(served).hexdigest().upper()


def test_a_wrong_password_is_refused(vcenter: TestVcenter) -> None:
    right, vcenter.password = vcenter.password, "wrong"
    try:
        with pytest.raises(vim.fault.InvalidLogin):
            Client(vcenter)
    finally:
        vcenter.password = right


def test_the_password_is_on_no_command_line(vcenter: TestVcenter) -> None:
    with open(f"/proc/{vcenter.pid}/cmdline", "rb") as line:  # noqa: PTH123
        assert vcenter.password.encode() not in line.read()


def test_every_property_can_be_parsed(client: Client) -> None:
    machine = client.create("whole", controller(), disk(size_kib=1024), network_card(), serial("whole/serial.log"))
    stores, networks = client.datacenter.datastore, client.datacenter.network
    for thing in [machine, client.compute, *client.compute.host, client.compute.resourcePool, *stores, *networks]:
        assert client.read(thing)["name"]


def test_an_ended_session_is_not_authenticated(vcenter: TestVcenter, client: Client) -> None:
    with connected(vcenter) as other:
        session = other.content.sessionManager.currentSession
        assert client.content.sessionManager.SessionIsActive(session.key, session.userName)
        client.content.sessionManager.TerminateSession([session.key])
        with pytest.raises(vim.fault.NotAuthenticated):
            other.instance.CurrentTime()
        assert not client.content.sessionManager.SessionIsActive(session.key, session.userName)


def test_the_datastores_want_a_session(client: Client) -> None:
    assert client.http("PUT", "somebody.txt", data=b"x", headers={}).status_code == 401
    assert (
        client.http("PUT", "somebody.txt", data=b"x", headers={"Cookie": "vmware_soap_session=guess"}).status_code
        == 401
    )
    assert not (client.folder / "somebody.txt").exists()


def test_the_datastores_keep_the_bytes(client: Client) -> None:
    assert client.http("PUT", "some/where.bin", data=b"0123456789").status_code in (200, 201)
    assert (client.folder / "some" / "where.bin").read_bytes() == b"0123456789"
    ranged = client.http("GET", "some/where.bin", headers={**client.cookie, "Range": "bytes=2-4"})
    assert (ranged.status_code, ranged.content) == (206, b"234")
    client.content.fileManager.MakeDirectory("[datastore1] other", client.datacenter, createParentDirectories=False)
    client.wait(
        client.content.fileManager.MoveDatastoreFile_Task(
            "[datastore1] some/where.bin", client.datacenter, "[datastore1] other/there.bin", client.datacenter
        )
    )
    assert client.http("GET", "other/there.bin").content == b"0123456789"
    for name in ("some", "other"):
        client.wait(client.content.fileManager.DeleteDatastoreFile_Task(f"[datastore1] {name}", client.datacenter))
    assert client.http("GET", "other/there.bin").status_code == 404


def test_a_machine_is_found_by_its_instance_uuid(client: Client) -> None:
    uuid = "5e0f2a8e-6d0c-4b2b-9f0e-1d5a3c7b9e11"
    machine = client.create("found", instanceUuid=uuid)
    assert client.content.searchIndex.FindByUuid(client.datacenter, uuid, True, True) == machine
    assert client.content.searchIndex.FindByUuid(client.datacenter, uuid, True, False) is None


def test_an_instance_uuid_is_given_to_one_machine_only(client: Client) -> None:
    uuid = "5e0f2a8e-6d0c-4b2b-9f0e-1d5a3c7b9e12"
    assert client.create("first", instanceUuid=uuid).config.instanceUuid == uuid
    assert client.create("second", instanceUuid=uuid).config.instanceUuid != uuid


def test_extra_configuration_is_kept(client: Client) -> None:
    option = vim.option.OptionValue(key="guestinfo.metadata", value="e30=")
    machine = client.create("informed", extraConfig=[option])
    change = vim.option.OptionValue(key="guestinfo.userdata", value="IyE=")
    client.wait(machine.ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=[change])))
    kept = {one.key: one.value for one in machine.config.extraConfig}
    assert (kept["guestinfo.metadata"], kept["guestinfo.userdata"]) == ("e30=", "IyE=")


REFUSED: list[tuple[str, dict[str, Any], list[Any], type]] = [
    ("a datastore that is not there", {"datastore": "nowhere"}, [], vim.fault.InvalidDatastore),
    (
        "a disk on a datastore that is not there",
        {},
        [controller(), disk("../../x.vmdk")],
        vim.fault.InvalidDatastorePath,
    ),
    ("a disk whose file is not there", {}, [controller(), disk("none/none.vmdk")], vim.fault.FileNotFound),
    ("a network that is not there", {}, [network_card(network="nowhere")], vim.fault.InvalidDeviceBacking),
    ("a disk larger than the datastore", {}, [controller(), disk(size_kib=2 << 30, thin=False)], vim.fault.NoDiskSpace),
]


@pytest.mark.parametrize(("what", "fields", "devices", "fault"), REFUSED, ids=[one[0] for one in REFUSED])
def test_a_machine_that_cannot_be_is_refused(
    client: Client, what: str, fields: dict[str, Any], devices: list[Any], fault: type
) -> None:
    with pytest.raises(TaskFailed) as refused:
        client.create("refused", *devices, **fields)
    assert isinstance(refused.value.fault, fault)
    assert not client.datacenter.vmFolder.childEntity
    assert not (client.folder / "refused").exists()


def test_a_name_is_taken_once_in_a_folder(client: Client) -> None:
    client.create("twin")
    with pytest.raises(TaskFailed) as refused:
        client.create("twin")
    assert isinstance(refused.value.fault, vim.fault.DuplicateName)
    other = client.datacenter.vmFolder.CreateFolder("elsewhere")
    assert client.create("twin", folder=other).parent == other


def test_a_folder_takes_its_machines_with_it(client: Client) -> None:
    folder = client.datacenter.vmFolder.CreateFolder("project")
    machine = client.create("inside", controller(), disk(size_kib=1024), folder=folder)
    client.wait(folder.Destroy_Task())
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        client.read(machine, "name")
    assert not (client.folder / "inside").exists()


def test_machines_that_come_change_and_go_are_told(client: Client) -> None:
    collector = client.content.propertyCollector.CreatePropertyCollector()
    view = client.content.viewManager.CreateContainerView(client.datacenter, [vim.VirtualMachine], True)
    query = vmodl.query.PropertyCollector
    walk = query.TraversalSpec(name="view", type=vim.view.ContainerView, path="view", skip=False)
    collector.CreateFilter(
        query.FilterSpec(
            objectSet=[query.ObjectSpec(obj=view, skip=True, selectSet=[walk])],
            propSet=[query.PropertySpec(type=vim.VirtualMachine, pathSet=["name", "runtime.powerState"])],
        ),
        False,
    )
    version, seen = "", []

    def told(wanted: tuple[str, Any]) -> bool:
        nonlocal version
        update = collector.WaitForUpdatesEx(version, query.WaitOptions(maxWaitSeconds=2))
        if update is not None:
            version = update.version
            for change in (one for group in update.filterSet for one in group.objectSet):
                state = {prop.name: prop.val for prop in change.changeSet}.get("runtime.powerState")
                seen.append((str(change.kind), state))
        return wanted in seen

    machine = client.create("watched", controller(), disk(size_kib=1024))
    for act, wanted in [
        (None, ("enter", "poweredOff")),
        (machine.PowerOnVM_Task, ("modify", "poweredOn")),
        (machine.PowerOffVM_Task, ("modify", "poweredOff")),
        (machine.Destroy_Task, ("leave", None)),
    ]:
        if act is not None:
            client.wait(act())
        for _ in range(10):
            if told(wanted):
                break
        assert wanted in seen, seen
    collector.DestroyPropertyCollector()


def test_a_call_can_be_made_to_fail(client: Client) -> None:
    client.inject("CurrentTime", "fault", fault="NotAuthenticated", count=2)
    for _ in range(2):
        with pytest.raises(vim.fault.NotAuthenticated):
            client.instance.CurrentTime()
    assert client.instance.CurrentTime()


def test_a_task_can_be_made_to_fail(client: Client) -> None:
    machine = client.create("unlucky")
    client.inject("PowerOnVM_Task", "task-fault", fault="InsufficientMemoryResourcesFault", message="no memory is left")
    fault = client.fault(machine.PowerOnVM_Task())
    assert isinstance(fault, vim.fault.InsufficientMemoryResourcesFault)
    assert fault.msg == "no memory is left"
    assert machine.runtime.powerState == "poweredOff"


def test_a_reply_can_be_lost_after_the_deed(client: Client) -> None:
    client.inject("CreateFolder", "drop-reply")
    with pytest.raises((OSError, ValueError, Exception)):  # whatever the client makes of it
        client.datacenter.vmFolder.CreateFolder("made")
    assert [one.name for one in client.datacenter.vmFolder.childEntity] == ["made"]


def test_a_request_can_be_lost_before_the_deed(client: Client) -> None:
    client.inject("PUT /folder", "drop-before")
    with pytest.raises(OSError):
        client.http("PUT", "lost.bin", data=b"x")
    assert not (client.folder / "lost.bin").exists()


def test_trouble_that_nobody_knows_is_refused(client: Client) -> None:
    answer = client.admin("POST", "faults", json={"method": "CurrentTime", "action": "fault", "fault": "NoSuchFault"})
    assert (answer.status_code, "NoSuchFault" in answer.text) == (400, True)


@pytest.mark.timeout(900)  # the first compilation
@pytest.mark.parametrize("command", [["vet"], ["test"]], ids=["vet", "test"])
def test_its_own_checks_pass(command: list[str]) -> None:
    done = subprocess.run(["go", *command, "./..."], cwd=launcher.SOURCES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_go_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(launcher, "CACHE", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(VcenterError, match=r"golang.*go\.dev"):
        launcher.build()


def test_a_go_that_is_too_old_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    old = tmp_path / "go"
    old.write_text("#!/bin/sh\necho go1.19.8\n")
    old.chmod(0o755)
    monkeypatch.setattr(launcher, "CACHE", tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(VcenterError, match=r"go1\.19\.8.*1\.21 or newer"):
        launcher.build()


def test_a_start_that_fails_says_why_and_leaves_nothing() -> None:
    vcenter = TestVcenter(drs="sometimes")
    with pytest.raises(VcenterError, match="--drs sometimes"), vcenter:
        pass
    assert not vcenter.data_dir.exists()


def test_what_is_not_there_is_a_fault_and_no_end(client: Client) -> None:
    stub, files = client.instance._stub, client.content.fileManager
    nowhere, nobody = vim.Datacenter("datacenter-999", stub), vim.VirtualMachine("vm-99999", stub)
    gone = vmodl.fault.ManagedObjectNotFound
    assert isinstance(client.fault(files.DeleteDatastoreFile_Task("[datastore1] x", nowhere)), gone)
    assert isinstance(client.fault(client.datacenter.vmFolder.MoveIntoFolder_Task([nobody])), gone)
    for path in ("[datastore1] ../other", "[datastore1]", "no path"):
        fault = client.fault(files.DeleteDatastoreFile_Task(path, client.datacenter))
        assert isinstance(fault, vim.fault.InvalidDatastorePath)
    missing = client.fault(files.DeleteDatastoreFile_Task("[datastore1] none", client.datacenter))
    assert (type(missing), missing.file) == (vim.fault.FileNotFound, "[datastore1] none")
    assert client.instance.CurrentTime()


def test_a_machine_moves_between_folders_and_its_name_is_taken_there(client: Client) -> None:
    folder = client.datacenter.vmFolder.CreateFolder("into")
    machine = client.create("moved")
    client.wait(folder.MoveIntoFolder_Task([machine]))
    assert (machine.parent, list(folder.childEntity)) == (folder, [machine])
    twin = client.create("moved")
    assert isinstance(client.fault(folder.MoveIntoFolder_Task([twin])), vim.fault.DuplicateName)
