"""One package for all tests of a process, and a machine that it is installed on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.booted import Booted
from tests.deploy.build import ROOT, finish_package, start_package


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The package, built twice side by side."""
    folder = tmp_path_factory.mktemp("package")
    outs = (folder / "one", folder / "another")
    builds = [start_package(out) for out in outs]
    first, second = (finish_package(build, out) for build, out in zip(builds, outs, strict=True))
    return first, second


@pytest.fixture(scope="session")
def package(packages: tuple[Path, Path]) -> Path:
    """The package."""
    return packages[0]


@pytest.fixture
def machine(package: Path) -> Iterator[Booted]:
    """A booted Debian with the package installed; this checkout and its environment are not seen there."""
    with Booted(ROOT, Path.home()) as booted:
        # Where the tests run, it may keep packages from starting services; a machine of use has no such file.
        booted.path("/usr/sbin/policy-rc.d").unlink(missing_ok=True)
        put = booted.path("/var/tmp/polyvisor.deb")
        put.write_bytes(package.read_bytes())
        booted.run("dpkg", "--install", "/var/tmp/polyvisor.deb")
        yield booted
        for unit in ("up", "server", "agent"):
            print(f"polyvisor-{unit} wrote:\n{booted.journal(f'polyvisor-{unit}')}")
