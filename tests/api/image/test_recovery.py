"""What is put right after a process was killed, and what happens on a full disk."""

import datetime
import uuid
from pathlib import Path

import pytest

from polyvisor.api.image.recovery import recover
from polyvisor.image.files import FileBackend
from tests.api.cloud import ApiCloud
from tests.api.image.calls import IMAGES, made, put, show, uploaded
from tests.image.processes import child, kill, on_a_small_disk, wait_until

# A process that uploads without end, on the database and the files in the folder that it is given.
UPLOADS = """
import itertools, sys, time
from datetime import UTC, datetime
from pathlib import Path
from polyvisor.api.image.image_upload import Upload
from polyvisor.api.image.settings import ImageSettings
from polyvisor.image.files import FileBackend
from polyvisor.store.database import Database
folder = Path(sys.argv[1])
database = Database(sys.argv[3])
upload = Upload(database, FileBackend(folder / "images"), ImageSettings(), "an-upload", datetime.now(UTC))
with database.write() as store:
    upload.begin(store, store.image.get(sys.argv[2]))
upload.receive(b"x" * 65536 for _ in itertools.count() if not time.sleep(0.01))
"""


def test_an_upload_killed_in_the_middle_is_queued_again_with_nothing_left(
    cloud: ApiCloud, backend: FileBackend, tmp_path: Path
) -> None:
    image, other = made(cloud.member), uploaded(cloud.member)
    with child(UPLOADS, tmp_path, image["id"], cloud.database.url.render_as_string(hide_password=False)) as process:
        wait_until(lambda: show(cloud.member, image["id"])["status"] == "saving")
        wait_until(lambda: any(tmp_path.glob("images/.partial-*/data")))
        # Others leave an upload that is alive as it is.
        with cloud.database.write() as store:
            now = datetime.datetime.now(datetime.UTC)
            assert recover(store, backend, now, alone=False).requeued == ()
        kill(process)
    with cloud.database.write() as store:
        found = recover(store, backend, now)
    assert found.requeued == (image["id"],)
    assert len(found.collected) == 1
    assert not any(tmp_path.glob("images/.partial-*"))
    assert show(cloud.member, image["id"])["status"] == "queued"
    assert show(cloud.member, other["id"])["status"] == "active"
    assert put(cloud.member, image["id"], bytes(4096)).status == 204


def test_an_upload_that_gives_no_sign_of_life_is_declared_dead(cloud: ApiCloud, backend: FileBackend) -> None:
    image = made(cloud.member)
    now = datetime.datetime.now(datetime.UTC)
    with cloud.database.write() as store:
        record = store.image.get(image["id"])
        store.image.begin_upload(record, str(uuid.uuid4()), now + datetime.timedelta(seconds=300), now)
    with cloud.database.write() as store:
        assert recover(store, backend, now + datetime.timedelta(seconds=299), alone=False).requeued == ()
        assert recover(store, backend, now + datetime.timedelta(seconds=301), alone=False).requeued == (image["id"],)
    assert show(cloud.member, image["id"])["status"] == "queued"


def test_bytes_that_were_stored_but_never_recorded_are_removed(cloud: ApiCloud, backend: FileBackend) -> None:
    # Killed after the bytes were in place, before the image became active.
    image = made(cloud.member)
    now = datetime.datetime.now(datetime.UTC)
    with cloud.database.write() as store:
        store.image.begin_upload(store.image.get(image["id"]), str(uuid.uuid4()), now, now)
    with backend.writer(image["id"]) as writer:
        writer.write(bytes(4096))
        writer.commit()
    with cloud.database.write() as store:
        recover(store, backend, now)
    assert backend.usage().images == 0
    assert show(cloud.member, image["id"])["status"] == "queued"


def test_bytes_of_a_deleted_image_are_collected(cloud: ApiCloud, backend: FileBackend) -> None:
    # Killed after the record was deleted, before its bytes were.
    image, kept = uploaded(cloud.member), uploaded(cloud.member)
    now = datetime.datetime.now(datetime.UTC)
    with cloud.database.write() as store:
        store.image.delete(image["id"], now)
    with cloud.database.write() as store:
        assert recover(store, backend, now).collected == (image["id"],)
    assert backend.usage().images == 1
    assert cloud.member.get(f"{IMAGES}/{kept['id']}/file").content == bytes(4096)


FILLS_UP = """
import json, sys
from pathlib import Path
from polyvisor.api.image.service import service
from polyvisor.api.image.settings import ImageSettings
from polyvisor.image.files import FileBackend
from tests.api.cloud import ApiCloud
from tests.api.image.calls import made, put, show
disk, elsewhere = Path(sys.argv[1]), Path(sys.argv[2])
backend = FileBackend(disk)
sys.stdout, out = sys.stderr, sys.stdout
settings = ImageSettings(keep_free_bytes=int(sys.argv[3]))
with ApiCloud(elsewhere, [service], parts=[backend, settings]) as cloud:
    image = made(cloud.member)
    free = least = backend.usage().free_bytes

    def body():
        global least
        for _ in range(8):
            yield b"x" * (1 << 20)
            least = min(least, backend.usage().free_bytes)

    answer = put(cloud.member, image["id"], body())
    told = {"status": answer.status, "message": answer.body["message"], "same": backend.usage().free_bytes == free,
            "least": least, "state": show(cloud.member, image["id"])["status"]}
    told["again"] = put(cloud.member, image["id"], b"x" * (1 << 20)).status
print(json.dumps(told), file=out)
"""


@pytest.mark.parametrize("keep_free_bytes", [0, 2 << 20])
def test_a_full_disk_refuses_the_upload_and_keeps_nothing_of_it(tmp_path: Path, keep_free_bytes: int) -> None:
    disk, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
    disk.mkdir()
    elsewhere.mkdir()
    told = on_a_small_disk(FILLS_UP, disk, 4096, elsewhere, keep_free_bytes)
    assert (told["status"], told["state"], told["same"], told["again"]) == (413, "queued", True, 204)
    assert isinstance(told["least"], int)
    # One piece may come in between two looks.
    assert keep_free_bytes - (1 << 20) <= told["least"] < (2 << 20)
    assert "no room" in str(told["message"])
    assert str(tmp_path) not in str(told["message"])
