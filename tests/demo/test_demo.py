"""The demonstration, as a newcomer runs it: both hypervisors, networks, real guests, the client, and nothing left."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PATIENCE_SECONDS = 1500

pytestmark = [pytest.mark.timeout(PATIENCE_SECONDS + 60), pytest.mark.xdist_group("demo")]

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "demo"]
SSH = r"^\$ ip netns exec \S+ ssh -F \S+ {address} {command}\n"
KINDS = {
    "file",
    "libvirt domain",
    "namespace of the metadata service",
    "network card",
    "port of Open vSwitch",
    "row in OVN",
    "vSphere DistributedVirtualPortgroup",
    "vSphere Folder",
    "vSphere VirtualMachine",
    "vSphere guest",
}
PINGED = "3 packets transmitted, 3 packets received, 0% packet loss"


@pytest.fixture(scope="module")
def printed() -> str:
    """What it prints. It fails by itself where something is not as it says, or anything is left behind."""
    process = subprocess.Popen(COMMAND, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        printed, _ = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.terminate()  # it removes all that it started
        process.wait(120)
    assert process.returncode == 0, printed[-5000:]
    return printed


@pytest.mark.parametrize(
    ("name", "source", "address"),
    [
        ("on-kvm", "metadata", r"eth0=10\.9\.0\.\d+/24"),
        ("on-vsphere", "metadata", r"eth0=10\.9\.0\.\d+/24"),
        ("anywhere-on-vmware", "configdrive", "none"),
        ("anywhere-on-(qemu|kvm)", "configdrive", "none"),
    ],
)
def test_guests_say_who_they_are(printed: str, name: str, source: str, address: str) -> None:
    ready = rf"^CLOUD-READY host={name} uuid=\S+ src={source} keys=1 .* ip={address} "
    assert re.search(ready, printed, re.MULTILINE)


@pytest.mark.parametrize(("name", "other"), [("on-kvm", "on-vsphere"), ("on-vsphere", "on-kvm")])
def test_a_guest_is_reached_while_the_security_group_lets_it_and_pings_the_other_kind(
    printed: str, name: str, other: str
) -> None:
    [address] = re.findall(rf"server add floating ip {name} (203\.0\.113\.\d+)$", printed, re.MULTILINE)
    hostname = SSH.format(address=re.escape(address), command="hostname")
    said = re.findall(f"{hostname}(.*)\n", printed, re.MULTILINE)
    refused = f"ssh: connect to host {address} port 22: Connection timed out"
    assert said == [refused, name, refused], "before the rule, with it, and without it again"
    ping = SSH.format(address=re.escape(address), command=rf"ping -4 -c 3 {other}\.openstacklocal")
    [_, answers] = re.split(ping, printed, flags=re.MULTILINE)
    answers = answers.partition("\n$ ")[0]
    assert f"PING {other}.openstacklocal (10.9.0." in answers
    assert PINGED in answers


def test_nothing_is_left(printed: str) -> None:
    assert set(re.findall(r"^ +\d+ × (.+)$", printed, re.MULTILINE)) == KINDS, "what is looked for was there before"
    assert "Nothing of the servers is left in libvirt, in vCenter, or on disk." in printed
    assert "Nothing of the networks is left: no port, no port group, no row in OVN, no namespace." in printed
    assert "Everything that was started has ended: no process, no namespace and no file of it is left." in printed


def test_ctrl_c_ends_all_that_was_started() -> None:
    with subprocess.Popen(COMMAND, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            printed = ""
            while "$ openstack" not in printed:
                line = process.stdout.readline()
                assert line, printed
                printed += line
            for _ in range(2):  # as the impatient do
                process.send_signal(signal.SIGINT)
            printed += process.stdout.read()
        finally:
            process.terminate()
    assert process.returncode == 130, printed
    assert "Stopped, and all that was started is gone." in printed
    [folder] = set(re.findall(r"/tmp/pv-demo-\w+", printed))
    [namespace] = set(re.findall(r"ip netns exec (\S+)", printed))
    assert not Path(folder).exists()
    assert namespace not in subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert not [file for file in Path("/proc").glob("[0-9]*/cmdline") if folder in command_line(file)]


def command_line(file: Path) -> str:
    """Of a process; empty where it has ended."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
