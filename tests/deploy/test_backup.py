"""A cloud is brought back from what docs/how-to/backup.md says to keep."""

import shutil
from pathlib import Path

from tests.clients.cloud import ADMIN, RunningCloud

TIMEOUT_SECONDS = 180


def test_a_lost_data_directory_is_restored_from_a_backup_that_was_made_while_the_cloud_ran(tmp_path: Path) -> None:
    """The same users, the same image with its bytes, the same server, and it works on."""
    kept, disk = tmp_path / "kept", tmp_path / "image.raw"
    kept.mkdir()
    disk.write_bytes(b"image" * 1000)
    with RunningCloud(tmp_path, "--simulated", "1") as cloud:
        admin = cloud.sdk(ADMIN)
        image = admin.image.create_image(name="kept", filename=str(disk), disk_format="raw", container_format="bare")
        server = admin.compute.create_server(name="kept", image_id=image.id, flavor_id="42", networks="none")
        admin.compute.wait_for_server(server, wait=TIMEOUT_SECONDS)

        backed_up = cloud.command("database", "backup", str(kept / "cloud"))
        assert backed_up.status == 0, backed_up
        shutil.copytree(cloud.data / "images", kept / "images")
        shutil.copy(cloud.clouds_file, kept / "clouds.yaml")
        # The simulated hypervisor goes on beside the cloud, as a real one does.
        shutil.copytree(cloud.data / "simulated", kept / "simulated")
        cloud.kill()

        shutil.rmtree(cloud.data)
        cloud.data.mkdir(mode=0o700)
        shutil.copy(kept / "cloud", cloud.data / "polyvisor.db")
        shutil.copytree(kept / "images", cloud.data / "images")
        shutil.copytree(kept / "simulated", cloud.data / "simulated")
        shutil.copy(kept / "clouds.yaml", cloud.data / "clouds.yaml")
        checked = cloud.command("database", "check")
        assert checked.status == 0, checked

        again = cloud.start().sdk(ADMIN)
        assert again.compute.get_server(server.id).status == "ACTIVE"
        assert b"".join(again.image.download_image(image.id, stream=True).iter_content(4096)) == disk.read_bytes()
        more = again.compute.create_server(name="more", image_id=image.id, flavor_id="42", networks="none")
        assert again.compute.wait_for_server(more, wait=TIMEOUT_SECONDS).status == "ACTIVE"
        again.compute.delete_server(server.id)
        again.compute.wait_for_delete(again.compute.get_server(server.id), wait=TIMEOUT_SECONDS)
