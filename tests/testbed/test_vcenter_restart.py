"""The test vCenter may be killed and started again: its inventory and its guests are there as before."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim, vmodl

from testbed.vcenter import TestVcenter, VcenterError, kill_guests, main
from tests.testbed.vcenter_client import Client, connected, controller, disk, machine_spec, network_card, serial, until


@pytest.fixture
def vcenter() -> Iterator[TestVcenter]:
    with TestVcenter() as running:
        yield running


def shape(client: Client, machine: Any) -> dict[str, Any]:
    """What must survive."""
    found = client.read(machine, "name", "parent", "runtime.host", "runtime.powerState", "resourcePool", "config.uuid",
                        "config.instanceUuid", "config.files.vmPathName", "customValue")  # fmt: skip
    config = client.read(machine, "config")["config"]
    found["memory"] = config.hardware.memoryMB
    found["options"] = {one.key: one.value for one in config.extraConfig}
    found["devices"] = [(type(one).__name__, one.key, str(one.backing)) for one in config.hardware.device]
    found["customValue"] = [(one.key, one.value) for one in found.get("customValue", [])]
    return found


def furnish(client: Client) -> dict[str, Any]:
    """A folder with machines in each power state."""
    field = client.content.customFieldsManager.AddCustomFieldDef("polyvisor", vim.VirtualMachine)
    folder = client.datacenter.vmFolder.CreateFolder("project").CreateFolder("inner")
    option = vim.option.OptionValue(key="guestinfo.metadata", value="e30=")
    machines = {}
    for name in ("on", "off", "resting"):
        devices = [controller(), disk(size_kib=1024), network_card(), serial(f"{name}/console.log")]
        machine = client.create(name, *devices, folder=folder, extraConfig=[option])
        client.content.customFieldsManager.SetField(machine, field.key, f"value of {name}")
        machines[name] = machine
    for name in ("on", "resting"):
        client.wait(machines[name].PowerOnVM_Task())
    client.wait(machines["resting"].SuspendVM_Task())
    return machines


def test_a_kill_loses_nothing(vcenter: TestVcenter) -> None:
    with connected(vcenter) as client:
        machines = furnish(client)
        before = {machine._moId: shape(client, machine) for machine in machines.values()}
        identity, guests, url = client.content.about.instanceUuid, vcenter.guests(), vcenter.url
        networks = [one._moId for one in client.datacenter.network]
        vcenter.kill()
    assert vcenter.guests() == guests  # machines outlive their vCenter

    vcenter.restart()
    assert (vcenter.url, vcenter.guests()) == (url, guests)
    with connected(vcenter) as client:
        [folder] = client.datacenter.vmFolder.childEntity
        [inner] = folder.childEntity
        after = {machine._moId: shape(client, machine) for machine in inner.childEntity}
        assert {key: str(value) for key, value in after.items()} == {key: str(value) for key, value in before.items()}
        assert client.content.about.instanceUuid == identity
        assert [one._moId for one in client.datacenter.network] == networks
        assert [one.name for one in client.content.customFieldsManager.field] == ["polyvisor"]
        by_name = {machine.name: machine for machine in inner.childEntity}
        assert by_name["on"] in list(by_name["on"].runtime.host.vm)
        client.wait(by_name["resting"].PowerOnVM_Task())
        for machine in by_name.values():
            client.wait(machine.PowerOffVM_Task()) if machine.name != "off" else None
        assert vcenter.guests() == {}
        client.wait(folder.Destroy_Task())
        assert not list(client.folder.iterdir())


def test_what_happened_meanwhile_is_seen(vcenter: TestVcenter) -> None:
    with connected(vcenter) as client:
        machine = client.create("short", controller(), disk(size_kib=1024))
        client.wait(machine.PowerOnVM_Task())
        reference = machine._moId
        vcenter.kill()
    [pid] = vcenter.guests().values()
    os.kill(pid, signal.SIGKILL)
    until(lambda: not vcenter.guests(), "the guest is gone")
    vcenter.restart()
    with connected(vcenter) as client:
        [machine] = client.datacenter.vmFolder.childEntity
        assert (machine._moId, machine.runtime.powerState) == (reference, "poweredOff")


def test_no_reference_is_used_twice(vcenter: TestVcenter) -> None:
    with connected(vcenter) as client:
        machine = client.create("gone")
        gone = machine._moId
        client.remove(machine)
        vcenter.kill()
    vcenter.restart()
    with connected(vcenter) as client:
        assert not client.datacenter.vmFolder.childEntity
        assert client.create("next")._moId != gone
        with pytest.raises(vmodl.fault.ManagedObjectNotFound):
            client.read(vim.VirtualMachine(gone, client.instance._stub), "name")


def test_a_session_does_not_outlive_the_process(vcenter: TestVcenter) -> None:
    with connected(vcenter) as client:
        vcenter.kill()
        with pytest.raises(OSError):
            client.instance.CurrentTime()
        vcenter.restart()
        with pytest.raises(vim.fault.NotAuthenticated):
            client.instance.CurrentTime()


def test_settings_of_a_cluster_are_kept(vcenter: TestVcenter) -> None:
    with connected(vcenter) as client:
        change = vim.cluster.ConfigSpecEx(drsConfig=vim.cluster.DrsConfigInfo(enabled=True, defaultVmBehavior="manual"))
        client.wait(client.compute.ReconfigureComputeResource_Task(change, True))
        vcenter.kill()
    vcenter.restart()
    with connected(vcenter) as client:
        assert str(client.compute.configurationEx.drsConfig.defaultVmBehavior) == "manual"


def test_guests_can_be_told_to_die_with_it() -> None:
    with TestVcenter(guests_die_with_me=True) as vcenter:
        with connected(vcenter) as client:
            client.wait(client.create("bound", controller(), disk(size_kib=1024)).PowerOnVM_Task())
            assert len(vcenter.guests()) == 1
            vcenter.kill()
        until(lambda: not vcenter.guests(), "the guest has gone with it")


def test_leaving_ends_the_guests_and_removes_the_folder() -> None:
    with TestVcenter() as vcenter, connected(vcenter) as client:
        client.wait(client.create("left", controller(), disk(size_kib=1024)).PowerOnVM_Task())
        [pid] = vcenter.guests().values()
    assert not Path(f"/proc/{pid}/exe").exists()
    assert not vcenter.data_dir.exists()


def test_stop_on_the_command_line_ends_what_runs_there(tmp_path: Path) -> None:
    with TestVcenter(tmp_path) as vcenter:
        with connected(vcenter) as client:
            client.wait(client.create("left", controller(), disk(size_kib=1024)).PowerOnVM_Task())
        assert main(["stop", f"--data={tmp_path}"]) == 0
        assert vcenter.guests() == {}
        until(lambda: vcenter.pid is None, "the program has ended")


def test_a_machine_that_was_being_imported_is_gone_with_its_files(vcenter: TestVcenter) -> None:
    with connected(vcenter) as client:
        spec = vim.vm.VmImportSpec(configSpec=machine_spec("half", controller(), disk(size_kib=1024)))
        lease = client.compute.resourcePool.ImportVApp(spec, client.datacenter.vmFolder)
        until(lambda: lease.state == "ready", "the lease is ready")
        assert lease.info.entity.name == "half"
        vcenter.kill()
    vcenter.restart()
    with connected(vcenter) as client:
        assert not client.datacenter.vmFolder.childEntity
        assert not list(client.folder.iterdir())
        assert client.create("half").name == "half"


def churn(vcenter: TestVcenter, template: str, name: str) -> None:
    """Clone, run and destroy machines until the vCenter goes away."""
    with contextlib.suppress(Exception), connected(vcenter) as client:
        source = vim.VirtualMachine(template, client.instance._stub)
        where = vim.vm.RelocateSpec(pool=client.compute.resourcePool)
        for number in itertools.count():
            spec = vim.vm.CloneSpec(location=where, powerOn=True)
            clone = client.wait(source.CloneVM_Task(client.datacenter.vmFolder, f"{name}-{number}", spec))
            client.wait(clone.PowerOffVM_Task())
            client.wait(clone.Destroy_Task())


@pytest.mark.parametrize("seconds", [0.6, 1.1, 1.7])
def test_a_kill_at_any_moment_leaves_no_file_and_no_guest_without_a_machine(
    vcenter: TestVcenter, seconds: float
) -> None:
    with connected(vcenter) as client:
        template = client.create("template", controller(), disk(size_kib=1024))
        template.MarkAsTemplate()
        workers = [threading.Thread(target=churn, args=(vcenter, template._moId, f"vm{n}")) for n in range(4)]
        for worker in workers:
            worker.start()
        time.sleep(seconds)
        vcenter.kill()
        for worker in workers:
            worker.join()
    vcenter.restart()
    with connected(vcenter) as client:
        machines = list(client.datacenter.vmFolder.childEntity)
        running = {machine._moId for machine in machines if machine.runtime.powerState == "poweredOn"}
        assert set(vcenter.guests()) == running
        assert {path.name for path in client.folder.iterdir()} <= {machine.name for machine in machines}
        for machine in machines:
            client.remove(machine)
        assert not list(client.folder.iterdir())
        assert not list((vcenter.data_dir / "guests").iterdir())


def test_nothing_runs_on_when_the_test_run_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from testbed.vcenter import TestVcenter\n"
        "vcenter = TestVcenter(Path(sys.argv[1])); vcenter.start()\n"
        "print(vcenter.password, flush=True); time.sleep(600)"
    )
    run = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert run.stdout is not None
        twin = TestVcenter(tmp_path)
        twin.password = run.stdout.readline().strip()
        told = json.loads((tmp_path / "vcenter.json").read_text())
        twin.url, twin.user, pid = told["url"], told["user"], told["pid"]
        with connected(twin) as client:
            client.wait(client.create("left", controller(), disk(size_kib=1024)).PowerOnVM_Task())
            assert len(twin.guests()) == 1
            run.kill()
            until(lambda: not twin.guests() and not Path(f"/proc/{pid}/exe").exists(), "all has ended")
    finally:
        run.kill()
        run.wait()
        kill_guests(tmp_path)


def test_a_folder_is_one_process_s(vcenter: TestVcenter) -> None:
    with pytest.raises(VcenterError, match="another test vCenter works in"):
        TestVcenter(vcenter.data_dir).start()
    with connected(vcenter) as client:
        assert client.instance.CurrentTime()
