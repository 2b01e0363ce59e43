"""A cloud is brought back from what docs/how-to/backup.md says to keep."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from testbed.postgres import TestPostgres
from tests.clients.cloud import ADMIN, RunningCloud

TIMEOUT_SECONDS = 180


class SqliteBed:
    """The database lies in the data directory."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "polyvisor.toml"
        self.config.write_text("")

    def restore(self, copy: Path, data: Path) -> None:
        """The copy is a database again."""
        shutil.copy(copy, data / "polyvisor.db")


class PostgresBed:
    """The database is PostgreSQL's; it is restored into an empty one, for the old one is lost."""

    def __init__(self, folder: Path, postgres: TestPostgres, stack: ExitStack) -> None:
        self.config = folder / "polyvisor.toml"
        self._stack, self._postgres = stack, postgres
        self._tell(stack.enter_context(postgres.database()))

    def _tell(self, url: str) -> None:
        self.config.write_text(f'database = "{url}"\n')

    def restore(self, copy: Path, data: Path) -> None:
        """By pg_restore, as the how-to has it."""
        url = self._stack.enter_context(self._postgres.database())
        command = ["pg_restore", "--no-owner", "--dbname", _for_libpq(url), str(copy)]
        done = subprocess.run(command, text=True, capture_output=True, check=False, timeout=TIMEOUT_SECONDS)
        assert (done.returncode, done.stderr) == (0, "")
        self._tell(url)


def _for_libpq(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


@pytest.fixture(params=["sqlite", "postgresql"])
def bed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteBed | PostgresBed]:
    with ExitStack() as stack:
        if request.param == "sqlite":
            yield SqliteBed(tmp_path)
        else:
            yield PostgresBed(tmp_path, request.getfixturevalue("postgres"), stack)


def test_a_lost_cloud_is_restored_from_a_backup_that_was_made_while_it_ran(
    bed: SqliteBed | PostgresBed, tmp_path: Path
) -> None:
    """The same users, the same image with its bytes, the same server, and it works on."""
    kept, disk = tmp_path / "kept", tmp_path / "image.raw"
    kept.mkdir()
    disk.write_bytes(b"image" * 1000)
    with RunningCloud(tmp_path, "--config", str(bed.config), "--simulated", "1") as cloud:
        admin = cloud.sdk(ADMIN)
        image = admin.image.create_image(name="kept", filename=str(disk), disk_format="raw", container_format="bare")
        server = admin.compute.create_server(name="kept", image_id=image.id, flavor_id="42", networks="none")
        admin.compute.wait_for_server(server, wait=TIMEOUT_SECONDS)

        backed_up = cloud.command("database", "--config", str(bed.config), "backup", str(kept / "cloud"))
        assert backed_up.status == 0, backed_up
        shutil.copytree(cloud.data / "images", kept / "images")
        shutil.copy(cloud.clouds_file, kept / "clouds.yaml")
        # The simulated hypervisor goes on beside the cloud, as a real one does.
        shutil.copytree(cloud.data / "simulated", kept / "simulated")
        cloud.kill()

        shutil.rmtree(cloud.data)
        cloud.data.mkdir(mode=0o700)
        bed.restore(kept / "cloud", cloud.data)
        shutil.copytree(kept / "images", cloud.data / "images")
        shutil.copytree(kept / "simulated", cloud.data / "simulated")
        shutil.copy(kept / "clouds.yaml", cloud.data / "clouds.yaml")
        checked = cloud.command("database", "--config", str(bed.config), "check")
        assert checked.status == 0, checked

        again = cloud.start().sdk(ADMIN)
        assert [each.id for each in again.compute.servers()] == [server.id]
        assert again.compute.get_server(server.id).status == "ACTIVE"
        assert b"".join(again.image.download_image(image.id, stream=True).iter_content(4096)) == disk.read_bytes()
        more = again.compute.create_server(name="more", image_id=image.id, flavor_id="42", networks="none")
        assert again.compute.wait_for_server(more, wait=TIMEOUT_SECONDS).status == "ACTIVE"
        again.compute.delete_server(server.id)
        again.compute.wait_for_delete(again.compute.get_server(server.id), wait=TIMEOUT_SECONDS)
