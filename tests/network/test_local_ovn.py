"""`polyvisor up` beside a KVM host starts OVN and Open vSwitch, finds them again, and lets be what is another's."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from polyvisor.network.local_ovn.daemon import LARGEST_LOG_BYTES
from testbed.bare_machine import BareMachine
from testbed.process import alive, wait_for
from tests.clients.cloud import PROGRAM, RunningCloud

pytestmark = pytest.mark.xdist_group("ovn")

CHILD = Path(__file__).with_name("local_ovn_child.py")
PATIENCE_SECONDS = 180.0
DAEMONS = {"ovsdb-server": 3, "ovs-vswitchd": 1, "ovn-northd": 1, "ovn-controller": 1}
CONFIGURATION = """\
[[network.physical]]
name = "physnet1"
flat = true

[[hypervisor]]
name = "kvm"
driver = "kvm"
uri = "qemu+unix:///system?socket=/nowhere/libvirt-sock"
"""


class Machine(BareMachine):
    """With clouds on it."""

    def start(self, data: Path) -> str:
        """Bring its networks up as `polyvisor up` does on that data directory; what is told of them."""
        return self._child(data, "start")

    def stop(self, data: Path) -> list[str]:
        """What was ended."""
        return self._child(data, "stop").split()

    def running(self) -> dict[str, list[int]]:
        """OVN's and Open vSwitch's daemons."""
        return {name: sorted(self.pids(name)) for name in DAEMONS}

    def has_all(self) -> bool:
        """Whether each daemon runs, once."""
        return {name: len(pids) for name, pids in self.running().items()} == DAEMONS

    def _child(self, data: Path, verb: str) -> str:
        return self.run(sys.executable, str(CHILD), str(data), verb).strip()


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Nothing runs on it."""
    with Machine() as made:
        yield made


def test_ovn_goes_on_when_up_is_killed_and_what_dies_is_started_again(machine: Machine, tmp_path: Path) -> None:
    made = RunningCloud(tmp_path, program=machine.command(PROGRAM))
    made.data.mkdir()
    (made.data / "polyvisor.toml").write_text(CONFIGURATION)
    polyvisor_network = (PROGRAM, "network", "--data", str(made.data))
    with made as cloud:
        assert f"\nNetworks: OVN, started by polyvisor, in {cloud.data}/ovn; the " in cloud.logged()
        assert machine.has_all()
        assert is_chassis_of(machine, cloud.data)
        logs = [cloud.data / "ovn" / f"{name}.log" for name in ("nb", "ovs-vswitchd", "controller")]
        for log in logs:
            with log.open("ab") as grown:
                grown.truncate(LARGEST_LOG_BYTES + 1)
        wait_for(lambda: not any(map(is_large, logs)), PATIENCE_SECONDS, lambda: str([*logs[0].parent.iterdir()]))
        assert all(is_large(log.with_name(f"{log.name}.1")) for log in logs)
        started = machine.running()
        for pids in started.values():
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        wait_for(machine.has_all, PATIENCE_SECONDS, lambda: f"some stay away: {machine.running()}; {cloud.logged()}")
        assert not any(alive(pid) for pids in started.values() for pid in pids)
        assert is_chassis_of(machine, cloud.data)
        with pytest.raises(ChildProcessError, match="Another polyvisor is running"):
            machine.run(*polyvisor_network, "stop")

        before = machine.running()
        assert all("|INFO|" in log.read_text() for log in logs), "they log on, and begin where the file does"
        cloud.kill()
        assert machine.running() == before, "guests keep their traffic"
    shown = machine.run(*polyvisor_network, "show")
    assert all(str(pid) in shown for pids in before.values() for pid in pids)
    assert "ovs-vswitchd" in machine.run(*polyvisor_network, "stop")
    assert machine.running() == {name: [] for name in DAEMONS}


def test_a_start_finds_what_runs_and_starts_what_is_dead(machine: Machine, tmp_path: Path) -> None:
    machine.start(tmp_path)
    first = machine.running()
    machine.start(tmp_path)
    assert machine.running() == first
    for killed in DAEMONS:
        os.kill(first[killed][0], signal.SIGKILL)
        machine.start(tmp_path)
        again = machine.running()
        assert machine.has_all(), again
        assert {**again, killed: []} == {**first, killed: []}
        first = again
    assert is_chassis_of(machine, tmp_path)
    assert machine.stop(tmp_path)
    assert machine.stop(tmp_path) == []
    machine.start(tmp_path)
    assert machine.has_all()


def test_after_a_boot_of_the_machine_all_comes_back(machine: Machine, tmp_path: Path) -> None:
    machine.start(tmp_path)
    machine.run("ovn-nbctl", f"--db=unix:{tmp_path}/ovn/nb.sock", "ls-add", "kept")
    for pids in machine.running().values():
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    for left in machine.openvswitch.iterdir():
        left.unlink()
    wait_for(lambda: not any(machine.running().values()), PATIENCE_SECONDS, lambda: str(machine.running()))
    machine.start(tmp_path)
    assert machine.has_all()
    assert is_chassis_of(machine, tmp_path)
    assert "kept" in machine.run("ovn-nbctl", f"--db=unix:{tmp_path}/ovn/nb.sock", "ls-list")
    # One for each daemon that has its socket there: two databases, northd and ovn-controller.
    assert len(list((tmp_path / "ovn").glob("*.ctl"))) == 4


def test_a_process_that_has_the_id_of_a_dead_daemon_deceives_nobody(machine: Machine, tmp_path: Path) -> None:
    machine.start(tmp_path)
    os.kill(machine.pids("ovn-northd")[0], signal.SIGKILL)
    (tmp_path / "ovn" / "northd.pid").write_text(f"{os.getpid()}\n")
    machine.start(tmp_path)
    assert machine.has_all()
    (tmp_path / "ovn" / "northd.pid").write_text(f"{os.getpid()}\n")
    assert "northd" in machine.stop(tmp_path), "it is asked by its lock, whatever is written there"


def test_a_switch_that_runs_is_used_and_what_it_was_told_is_kept(machine: Machine, tmp_path: Path) -> None:
    """As on a machine whose services were installed, and are up before the cloud is."""
    start_switch(machine, tmp_path)
    vsctl(machine, "set", "Open_vSwitch", ".", "external_ids:system-id=theirs", "external_ids:ovn-encap-ip=192.0.2.7")
    vsctl(machine, "add-br", "br-theirs", "--", "set", "Bridge", "br-theirs", "datapath_type=netdev")
    vsctl(machine, "set", "Open_vSwitch", ".", "external_ids:ovn-bridge-mappings=theirs:br-theirs")
    before, data = machine.running(), tmp_path / "cloud"
    assert machine.start(data).startswith("started by polyvisor")
    after = machine.running()
    assert after["ovs-vswitchd"] == before["ovs-vswitchd"]
    assert set(before["ovsdb-server"]) < set(after["ovsdb-server"])
    assert machine.has_all()
    assert external_id(machine, "system-id") == "theirs"
    assert external_id(machine, "ovn-encap-ip") == "192.0.2.7"
    assert external_id(machine, "ovn-bridge-mappings") == "physnet1:br-physnet1,theirs:br-theirs"
    assert external_id(machine, "ovn-ofctrl-wait-before-clear") == "1000"
    machine.stop(data)
    assert machine.running() == before
    assert external_id(machine, "ovn-remote") == external_id(machine, "ovn-ofctrl-wait-before-clear") == ""


def test_the_machines_own_ovn_is_used(machine: Machine, tmp_path: Path) -> None:
    """Its databases answer at the standard places: nothing beside them is started but what is missing."""
    start_switch(machine, tmp_path)
    start_central(machine, tmp_path)
    before = machine.running()
    assert machine.start(tmp_path / "cloud").startswith("this machine's own; the ")
    after = machine.running()
    assert len(after["ovn-controller"]) == 1
    assert {**after, "ovn-controller": []} == before
    assert external_id(machine, "ovn-remote") == "unix:/run/ovn/ovnsb_db.sock"


@pytest.mark.parametrize("others", ["ours", "machine"])
def test_a_second_cloud_on_the_machine_goes_without_networks(machine: Machine, tmp_path: Path, others: str) -> None:
    """Else each would take the rows of the other for what was left over."""
    if others == "machine":
        start_central(machine, tmp_path)
    assert machine.start(tmp_path / "one").endswith(" datapath")
    running, remote = machine.running(), external_id(machine, "ovn-remote")
    told = machine.start(tmp_path / "two")
    assert told.startswith("trouble: this machine's Open vSwitch is a chassis of another OVN already, at ")
    assert (machine.running(), external_id(machine, "ovn-remote")) == (running, remote)
    # Another one's northbound database, though the switch has been let go.
    machine.stop(tmp_path / "one")
    told = machine.start(tmp_path / "two")
    if others == "machine":
        assert told.startswith("trouble: this machine's OVN keeps the networks of another polyvisor")
        remove = told.partition("type: ")[2].partition(";")[0]
        assert remove.startswith("ovn-nbctl remove ")
        machine.run(*remove.split())
        told = machine.start(tmp_path / "two")
    assert told.endswith(" datapath")


@pytest.mark.parametrize(
    ("hidden", "sentence"),
    [
        (("/usr/bin/ovn-northd", "/usr/bin/ovn-controller"), "install the packages ovn-central, ovn-host, and start"),
        (("/dev/net/tun",), "Open vSwitch can make no bridge br-int here"),
    ],
)
def test_a_machine_that_cannot_says_why_and_keeps_nothing_running(
    hidden: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    with Machine(hidden) as machine:
        told = machine.start(tmp_path)
        assert told.startswith("trouble: ")
        assert sentence in told
        assert told.endswith("chosen before: False")
        assert machine.running() == {name: [] for name in DAEMONS}, "what was begun is ended"


def test_what_ran_once_is_not_ended_where_it_cannot_be_started_again(machine: Machine, tmp_path: Path) -> None:
    machine.start(tmp_path)
    running = machine.running()
    machine.run("mount", "--bind", "/dev/null", "/usr/bin/ovn-northd")
    told = machine.start(tmp_path)
    assert told.startswith("trouble: OVN is not installed here; install the packages ovn-central, and start again")
    assert told.endswith("chosen before: True")
    assert machine.running() == running


def is_large(log: Path) -> bool:
    return log.stat().st_size > LARGEST_LOG_BYTES


def is_chassis_of(machine: BareMachine, data: Path) -> bool:
    """Whether ovn-controller does what a change of OVN's asks of it."""
    machine.run("ovn-nbctl", f"--db=unix:{data}/ovn/nb.sock", "--wait=hv", "--timeout=60", "sync")
    chassis = machine.run(
        "ovn-sbctl", f"--db=unix:{data}/ovn/sb.sock", "--bare", "--columns=hostname", "list", "Chassis"
    )
    return len(chassis.split()) == 1


def start_switch(machine: BareMachine, folder: Path) -> None:
    """Open vSwitch as its package starts it."""
    start_database(machine, folder, "switch", "/run/openvswitch/db.sock", "/usr/share/openvswitch/vswitch")
    vsctl(machine, "--no-wait", "init")
    machine.run("ovs-vswitchd", "--detach", "--pidfile", f"--log-file={folder}/vswitchd.log", "-vconsole:off")


def start_central(machine: BareMachine, folder: Path) -> None:
    """OVN's databases and northd as their package starts them."""
    for name in ("nb", "sb"):
        start_database(machine, folder, name, f"/run/ovn/ovn{name}_db.sock", f"/usr/share/ovn/ovn-{name}")
    sides = [f"--ovn{name}-db=unix:/run/ovn/ovn{name}_db.sock" for name in ("nb", "sb")]
    files = [f"--pidfile={folder}/northd.pid", f"--log-file={folder}/northd.log", "-vconsole:off"]
    machine.run("env", "OVN_RUNDIR=/run/ovn", "ovn-northd", "--detach", *files, *sides)
    machine.run("ovn-nbctl", "--db=unix:/run/ovn/ovnnb_db.sock", "--timeout=60", "--wait=sb", "sync")


def start_database(machine: BareMachine, folder: Path, name: str, socket: str, schema: str) -> None:
    """An ovsdb-server."""
    database = folder / f"{name}.db"
    subprocess.run(["ovsdb-tool", "create", str(database), f"{schema}.ovsschema"], check=True)
    files = [f"--pidfile={folder}/{name}.pid", f"--log-file={folder}/{name}.log", "-vconsole:off"]
    machine.run("ovsdb-server", "--detach", *files, f"--remote=punix:{socket}", str(database))


def vsctl(machine: BareMachine, *arguments: str) -> str:
    """What ovs-vsctl prints."""
    return machine.run("ovs-vsctl", "--timeout=60", *arguments).strip()


def external_id(machine: BareMachine, key: str) -> str:
    """A setting of the chassis, empty where there is none."""
    return vsctl(machine, "--if-exists", "get", "Open_vSwitch", ".", f"external_ids:{key}").strip('"')
