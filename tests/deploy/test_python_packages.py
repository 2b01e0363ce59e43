"""The wheel and the source archive: both hold all of the program, and the one is made from the other."""

import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

import polyvisor
from tests.deploy.build import BUILD_TIMEOUT_SECONDS, ROOT, uv

pytestmark = pytest.mark.xdist_group("python-packages")

NAME = f"polyvisor-{polyvisor.__version__}"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where they lie; uv makes the wheel from the unpacked archive, as an installer of the archive does."""
    folder = tmp_path_factory.mktemp("dist")
    command = [uv(), "build", "--quiet", "--out-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, timeout=BUILD_TIMEOUT_SECONDS)
    return folder


def sources() -> set[str]:
    """Every file of the program, as it lies below src/."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "src"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return {name.removeprefix("src/") for name in listed if (ROOT / name).exists()}


def test_the_wheel_holds_all_of_the_program_and_nothing_else(dist: Path) -> None:
    with zipfile.ZipFile(dist / f"{NAME}-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())
    assert sources() <= names
    assert {name.split("/")[0] for name in names} == {"polyvisor", f"{NAME}.dist-info"}
    assert f"{NAME}.dist-info/licenses/LICENSE" in names
    assert not [name for name in names if "__pycache__" in name]


def test_the_archive_holds_what_the_wheel_is_made_from(dist: Path) -> None:
    with tarfile.open(dist / f"{NAME}.tar.gz") as archive:
        names = {name.removeprefix(f"{NAME}/") for name in archive.getnames()}
    assert {f"src/{name}" for name in sources()} <= names
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"} <= names
    assert not [name for name in names if name.startswith((".venv", ".cache", "tests", "build", "dist"))]
