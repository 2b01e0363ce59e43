"""The Debian package: what is in it, and how it is installed, upgraded, removed and purged under a real systemd."""

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

import polyvisor
from testbed.booted import Booted
from tests.deploy.build import ROOT, next_version
from tests.deploy.installed import SIMULATED, configure, main_pid, openstack, wait_until_up

pytestmark = pytest.mark.xdist_group("package")
UNITS = ("polyvisor-agent.service", "polyvisor-server.service", "polyvisor-up.service")
MOST_EXPOSED = 2.0
"""systemd's own measure: 10 is a service without any bound, below 2 few services are."""
LATER = "99.0"


def listing(package: Path) -> list[str]:
    """The package's files, as `dpkg-deb --contents` shows them."""
    return subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True, check=True).stdout.splitlines()


def test_two_builds_are_equal(packages: tuple[Path, Path]) -> None:
    """Byte for byte, though they were built in different directories."""
    one, another = (hashlib.sha256(package.read_bytes()).hexdigest() for package in packages)
    assert one == another
    assert packages[0].name == packages[1].name


def test_it_holds_the_program_and_nothing_of_the_machine_that_built_it(package: Path, tmp_path: Path) -> None:
    files = listing(package)
    assert all(line.split()[1] == "root/root" for line in files)
    notes = re.compile(r"/__pycache__/|site-packages/[^/]+/(RECORD|direct_url\.json|uv_cache\.json)$")
    assert not [line for line in files if notes.search(line)]
    assert not [line for line in files if re.search(r"site-packages/(pytest|mypy|ruff|openstack|hypothesis)\b", line)]
    subprocess.run(["dpkg-deb", "-x", package, tmp_path], check=True)
    written = subprocess.run(
        ["grep", "-rlaE", f"{ROOT}|{package.parent.parent}|/usr/local/bin/python", tmp_path], capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert written.stdout == "", "paths of this machine are written in these"
    own = {file.relative_to(ROOT / "src") for file in (ROOT / "src").rglob("*") if "__pycache__" not in str(file)}
    site = tmp_path / "usr/lib/polyvisor/lib/python3.11/site-packages"
    assert [file for file in sorted(own) if not (site / file).exists()] == []


def test_every_bundled_package_has_its_licence_named(package: Path, tmp_path: Path) -> None:
    subprocess.run(["dpkg-deb", "-x", package, tmp_path], check=True)
    told = (tmp_path / "usr/share/doc/polyvisor/copyright").read_text()
    site = tmp_path / "usr/lib/polyvisor/lib/python3.11/site-packages"
    bundled = [folder.name.removesuffix(".dist-info").rpartition("-")[0] for folder in site.glob("*.dist-info")]
    assert len(bundled) > 20
    for name in bundled:
        assert name == "polyvisor" or f"/{name}-" in told, name


def test_an_installation_starts_nothing_and_holds_every_bound(machine: Booted) -> None:
    """systemd finds no mistake in the units, and by its measure they are hardly exposed."""
    for unit in UNITS:
        path = f"/lib/systemd/system/{unit}"
        asked = machine.run("systemctl", "is-enabled", unit, check=False)
        assert asked.stdout.strip() == "disabled", asked
        assert machine.run("systemctl", "is-active", unit, check=False).stdout.strip() == "inactive"
        checked = machine.run("systemd-analyze", "verify", "--recursive-errors=no", path)
        assert (checked.stdout, checked.stderr) == ("", "")
        machine.run("systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED * 10:.0f}", path)
    assert machine.run("polyvisor", "--version").stdout == f"polyvisor {polyvisor.__version__}\n"
    owned = machine.run("stat", "--format=%a %U:%G", "/etc/polyvisor/polyvisor.toml", "/etc/polyvisor/secrets").stdout
    assert owned.splitlines() == ["640 root:polyvisor", "700 root:root"]


def test_a_site_that_evacuates_by_itself_has_its_host_reset_when_the_agent_cannot_run(machine: Booted) -> None:
    """The drop-in that comes as an example overrules what all services have in common."""
    folder = "/etc/systemd/system/polyvisor-agent.service.d"
    machine.run("mkdir", "-p", folder)
    machine.run("cp", "/lib/systemd/system/polyvisor-agent.service.d/fence.conf.example", f"{folder}/fence.conf")
    machine.run("systemctl", "daemon-reload")
    names = ("StartLimitAction", "FailureAction", "StartLimitBurst", "StartLimitIntervalUSec", "Restart")
    shown = machine.run("systemctl", "show", f"--property={','.join(names)}", "polyvisor-agent").stdout
    assert dict(line.split("=", 1) for line in shown.splitlines()) == dict(
        zip(names, ("reboot-force", "reboot-force", "5", "1min", "always"), strict=True)
    )


def test_the_page_and_the_completion_know_the_commands(machine: Booted) -> None:
    page = machine.run("man", "--pager=cat", "polyvisor").stdout
    for words in ("POLYVISOR OPERATIONS LIST", "--simulated N", "Add N simulated hosts"):
        assert words in page
    script = (
        "source /usr/share/bash-completion/completions/polyvisor; COMP_WORDS=(polyvisor oper); COMP_CWORD=1; "
        '_polyvisor polyvisor; echo "${COMPREPLY[@]}"'
    )
    assert machine.run("bash", "-c", script).stdout == "operations\n"


def test_a_cloud_lives_through_crash_upgrade_removal_and_return(machine: Booted, package: Path, tmp_path: Path) -> None:
    """A server is booted from an uploaded image, within all the unit's bounds; it is still known each time."""
    configure(machine, SIMULATED)
    machine.run("systemctl", "enable", "--now", "polyvisor-up")
    wait_until_up(machine)
    image = tmp_path / "image.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "16M"], check=True)
    openstack(machine, tmp_path, "image", "create", "--disk-format", "qcow2", "--file", str(image), "small")
    created = openstack(
        machine,
        tmp_path,
        "server",
        "create",
        "--image",
        "small",
        "--flavor",
        "m1.nano",
        "--nic",
        "none",
        "--wait",
        "one",
    )
    assert created["status"] == "ACTIVE"

    def known() -> list[tuple[str, str]]:
        return [(each["ID"], each["Status"]) for each in openstack(machine, tmp_path, "server", "list")]

    crashed = main_pid(machine)
    machine.run("kill", "-KILL", str(crashed))
    wait_until_up(machine, times=2)
    assert main_pid(machine) != crashed
    assert known() == [(created["id"], "ACTIVE")]

    running = main_pid(machine)
    machine.path("/var/tmp/later.deb").write_bytes(next_version(package, LATER, tmp_path).read_bytes())
    machine.run("dpkg", "--install", "/var/tmp/later.deb")
    wait_until_up(machine, times=3)
    assert main_pid(machine) != running, "it runs the new version"
    assert machine.path("/etc/polyvisor/polyvisor.toml").read_text() == SIMULATED
    assert known() == [(created["id"], "ACTIVE")]

    machine.run("dpkg", "--remove", "polyvisor")
    assert machine.run("systemctl", "is-active", "polyvisor-up", check=False).stdout.strip() == "inactive"
    said = machine.run("dpkg", "--purge", "polyvisor")
    assert "/var/lib/polyvisor is kept" in said.stdout + said.stderr
    machine.run("dpkg", "--install", "/var/tmp/polyvisor.deb")
    configure(machine, SIMULATED)
    machine.run("systemctl", "start", "polyvisor-up")
    wait_until_up(machine, times=4)
    assert known() == [(created["id"], "ACTIVE")], "the same cloud"

    machine.path("/etc/polyvisor/remove-data").touch()
    machine.run("dpkg", "--purge", "polyvisor")
    assert not machine.path("/var/lib/polyvisor").exists()
    assert not machine.path("/etc/polyvisor").exists()
