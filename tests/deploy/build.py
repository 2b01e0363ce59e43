"""Builds the Debian package and the Python packages, as `make package` does."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
DATE = 1_700_000_000
BUILD_TIMEOUT_SECONDS = 600


def uv() -> str:
    """The uv that the Makefile uses: this machine's, or the project's own copy."""
    return shutil.which("uv") or str(ROOT / ".cache/uv/bin/uv")


def start_package(out: Path) -> "subprocess.Popen[bytes]":
    """Begin to build the package into `out`, in a temporary directory of its own."""
    out.mkdir()
    scratch = out / "scratch"
    scratch.mkdir()
    with (out / "log").open("wb") as log:
        return subprocess.Popen(
            [ROOT / "deploy/package", "--fast", "--out", out],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "UV": uv(), "SOURCE_DATE_EPOCH": str(DATE), "TMPDIR": str(scratch)},
        )


def finish_package(building: "subprocess.Popen[bytes]", out: Path) -> Path:
    """Wait for it; the package's path."""
    try:
        assert building.wait(BUILD_TIMEOUT_SECONDS) == 0, (out / "log").read_text()
    finally:
        building.kill()
    (built,) = out.glob("*.deb")
    return built


def next_version(package: Path, version: str, folder: Path) -> Path:
    """The same package as a later version."""
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text("".join(f"Version: {version}\n" if line.startswith("Version:") else line
                               for line in control.read_text().splitlines(keepends=True)))  # fmt: skip
    later = folder / f"polyvisor_{version}.deb"
    subprocess.run(["dpkg-deb", "-Zgzip", "-z1", "--root-owner-group", "-b", tree, later], check=True,
                   capture_output=True)  # fmt: skip
    shutil.rmtree(tree)
    return later
