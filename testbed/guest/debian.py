"""Fetches Debian packages and unpacks them into a directory; installs nothing, and needs no root."""

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

# Old and new releases alike: what a package brings to /bin and what it brings to /usr/bin end in one place.
MERGED = ("bin", "sbin", "lib", "lib64")

# Only what programs link to; perl and its modules come along as dependencies of scripts that nobody runs here.
LIBRARY = re.compile(r"z?lib(?!.*perl)")


class Archive:
    """The machine's Debian archive, read through apt with lists and a cache of its own under `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for part in ("lists/partial", "cache/archives/partial", "packages"):
            (directory / part).mkdir(parents=True, exist_ok=True)
        self._options = [
            *("-o", f"Dir::State::lists={directory / 'lists'}"),
            *("-o", f"Dir::Cache={directory / 'cache'}"),
            *("-o", "APT::Sandbox::User="),
            *("-o", "Acquire::Retries=3"),
            *("-o", "Acquire::Languages=none"),
        ]

    def extract(self, names: Iterable[str], target: Path) -> Path:
        """Unpack the named packages, and the libraries that they depend on, into `target`."""
        self._refresh()
        closure = self._depends(*names, recurse=True)
        return self._unpack({*names, *(name for name in closure if LIBRARY.match(name))}, target)

    def extract_kernel(self, name: str, target: Path) -> Path:
        """Unpack the kernel that the meta package `name` stands for."""
        self._refresh()
        kernels = [found for found in self._depends(name) if found.startswith("linux-image-") and found != name]
        return self._unpack(set(kernels), target)

    def _depends(self, *names: str, recurse: bool = False) -> list[str]:
        only = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"]
        arguments = ["depends", *(f"--no-{kind}" for kind in only), *(["--recurse"] if recurse else []), *names]
        out = self._apt("apt-cache", *arguments)
        return sorted(set(re.findall(r"^(?:\s+Depends: )?([a-z0-9][a-z0-9.+-]*)$", out, re.MULTILINE)))

    def _unpack(self, names: set[str], target: Path) -> Path:
        for name in MERGED:
            (target / "usr" / name).mkdir(parents=True, exist_ok=True)
            (target / name).symlink_to(f"usr/{name}")
        for file in self._download(names):
            self._unpack_one(file, target)
        return target

    @staticmethod
    def _unpack_one(file: Path, target: Path) -> None:
        """As `dpkg-deb --extract` does, but through the links that `target` has in place of folders."""
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", file], stdout=subprocess.PIPE) as package:
            command = ["tar", "--extract", "--keep-directory-symlink", "--no-same-owner", "--exclude=./usr/share"]
            subprocess.run([*command, "--directory", target], check=True, stdin=package.stdout)
        if package.returncode:
            raise OSError(f"{file} cannot be unpacked; remove it and try again")

    def _download(self, names: set[str]) -> list[Path]:
        folder = self._directory / "packages"
        wanted = self._apt("apt-get", "download", "--print-uris", *sorted(names))
        # One line each: 'address' file-name size hash
        files = [folder / line.split()[1] for line in wanted.splitlines() if line.startswith("'")]
        missing = [file.name.split("_")[0] for file in files if not file.exists()]
        if missing:
            self._apt("apt-get", "--quiet", "download", *missing, cwd=folder)
        return files

    def _refresh(self) -> None:
        """Fetch the package lists where there are none yet; newer ones are asked for when a download fails."""
        if not any((self._directory / "lists").glob("*Packages*")):
            self._apt("apt-get", "--quiet", "update")

    def _apt(self, program: str, *arguments: str, cwd: Path | None = None) -> str:
        command = [program, *self._options, *arguments]
        environment = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(command, check=False, cwd=cwd, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise OSError(f"`{' '.join(command)}` failed; is the Debian archive reachable? {done.stderr.strip()}")
        return done.stdout
