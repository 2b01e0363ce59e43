"""Makes an installed set of Python packages fit for a system package: nothing of this machine, and only what is locked.

Usage: tidy.py SITE_PACKAGES LOCK
"""

import re
import shutil
import sys
from importlib.metadata import distributions
from pathlib import Path

# What installers note down for themselves: times, paths of this machine, scripts that are not in the package.
NOTES = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_build.json", "uv_cache.json")
# Parts that are of no use without a compiler, or are the libraries' own tests.
UNUSED = ("numpy/**/tests", "numpy/_core/include", "numpy/_core/lib", "numpy/f2py", "setuptools/tests")


def locked(lock: Path) -> set[tuple[str, str]]:
    """Name and version of every pinned package; one may be pinned twice, for several versions of Python."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock.read_text(), re.MULTILINE)
    return {(normal(name), version) for name, version in pins}


def normal(name: str) -> str:
    """A package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main(packages: Path, lock: Path) -> None:
    """Check versions, then remove. Exits with a sentence when a package is not the locked one."""
    pins = locked(lock)
    for found in distributions(path=[str(packages)]):
        name = normal(found.name)
        if name != "polyvisor" and (name, found.version) not in pins:
            sys.exit(f"tidy: {name} {found.version} is not in {lock.name}")
    for note in NOTES:
        for file in packages.glob(f"*.dist-info/{note}"):
            file.unlink()
    for pattern in UNUSED:
        for folder in sorted(packages.glob(pattern)):
            shutil.rmtree(folder, ignore_errors=True)
    for folder in sorted(packages.rglob("__pycache__")):
        shutil.rmtree(folder)
    for lock_file in packages.rglob(".lock"):
        lock_file.unlink()
    for file in packages.rglob("*"):
        if file.is_file() and not file.is_symlink():
            # Programs within libraries are never called; wheels mark many a plain file executable.
            file.chmod(0o644)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
