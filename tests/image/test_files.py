"""The file backend keeps what was committed, and nothing else."""

import hashlib
import random
import threading
import uuid
from pathlib import Path

import pytest

from polyvisor.image.errors import ImageBytesMissing, ImageTooLarge
from polyvisor.image.files import FileBackend
from polyvisor.image.sparse import allocated_bytes
from tests.image.images import MIB
from tests.image.processes import child, kill, on_a_small_disk

DATA = random.Random(3).randbytes(3 * MIB + 17)


@pytest.fixture
def backend(tmp_path: Path) -> FileBackend:
    return FileBackend(tmp_path / "images")


@pytest.fixture
def image_id() -> str:
    return str(uuid.uuid4())


def store(backend: FileBackend, image_id: str, data: bytes = DATA, chunk: int = 100_000) -> None:
    with backend.writer(image_id) as writer:
        for begin in range(0, len(data), chunk):
            writer.write(data[begin : begin + chunk])
        writer.commit()


def everything(folder: Path) -> list[str]:
    """All there is in a backend's folder but the lock that guards it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != ".staging.lock")


def test_what_is_stored_is_what_comes_back_with_its_digests(backend: FileBackend, image_id: str) -> None:
    with backend.writer(image_id) as writer:
        for begin in range(0, len(DATA), 65537):
            writer.write(DATA[begin : begin + 65537])
        assert writer.staged_path.read_bytes() == DATA
        stored = writer.commit()
    assert stored.size_bytes == len(DATA) == backend.size_bytes(image_id)
    assert stored.checksum == hashlib.md5(DATA).hexdigest()
    assert (stored.os_hash_algo, stored.os_hash_value) == ("sha512", hashlib.sha512(DATA).hexdigest())
    with backend.open_range(image_id) as whole:
        assert b"".join(whole) == DATA
    assert backend.path(image_id).read_bytes() == DATA


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 1), (0, None), (5, 100), (MIB - 1, 2 * MIB), (len(DATA) - 1, None), (len(DATA), None), (10, 10**12)],
)
def test_a_range_is_just_these_bytes(backend: FileBackend, image_id: str, offset: int, length: int | None) -> None:
    store(backend, image_id)
    wanted = DATA[offset:] if length is None else DATA[offset : offset + length]
    with backend.open_range(image_id, offset, length) as part:
        assert part.length == len(wanted)
        chunks = list(part)
    assert b"".join(chunks) == wanted
    assert all(len(chunk) <= MIB for chunk in chunks)


def test_a_range_outside_the_image_is_an_error(backend: FileBackend, image_id: str) -> None:
    store(backend, image_id)
    for offset in (-1, len(DATA) + 1):
        with pytest.raises(ValueError, match="lies outside"):
            backend.open_range(image_id, offset)


def test_missing_bytes_are_said_to_be_missing_at_once(backend: FileBackend, image_id: str) -> None:
    with pytest.raises(ImageBytesMissing):
        backend.open_range(image_id)
    with pytest.raises(ImageBytesMissing):
        backend.size_bytes(image_id)
    assert backend.delete(image_id) is False


@pytest.mark.parametrize("image_id", ["", "..", "../x", "a/b", ".staging.lock", "x" * 65, "a\n"])
def test_an_id_cannot_name_another_place(backend: FileBackend, image_id: str) -> None:
    for act in (backend.path, backend.writer, backend.open_range, backend.delete):
        with pytest.raises(ValueError, match="no image id"):
            act(image_id)


def test_an_upload_that_is_not_committed_leaves_nothing(backend: FileBackend, image_id: str, tmp_path: Path) -> None:
    def fail() -> None:
        with backend.writer(image_id) as writer:
            writer.write(DATA)
            raise ConnectionError("the client went away")

    with pytest.raises(ConnectionError):
        fail()
    with backend.writer(image_id) as writer:
        writer.write(DATA)
    assert everything(tmp_path / "images") == []


def test_an_upload_over_its_limit_ends_and_leaves_nothing(backend: FileBackend, image_id: str, tmp_path: Path) -> None:
    with backend.writer(image_id, limit_bytes=MIB) as writer:
        writer.write(DATA[:MIB])
        with pytest.raises(ImageTooLarge, match=str(MIB)):
            writer.write(b"x")
        assert everything(tmp_path / "images") == []
    with backend.writer(image_id, limit_bytes=MIB) as writer:
        writer.write(DATA[:MIB])
        assert writer.commit().size_bytes == MIB


def test_an_upload_replaces_the_earlier_one_whole_and_readers_keep_theirs(backend: FileBackend, image_id: str) -> None:
    store(backend, image_id)
    with backend.open_range(image_id) as old:
        chunks = iter(old)
        first = next(chunks)
        store(backend, image_id, b"new")
        assert first + b"".join(chunks) == DATA
    with backend.open_range(image_id) as gone:
        assert backend.delete(image_id)
        assert b"".join(gone) == b"new"


@pytest.mark.parametrize("chunk", [4096, 65536, 100_003, MIB])
def test_a_thin_image_stays_thin(backend: FileBackend, image_id: str, chunk: int) -> None:
    size, at = 128 * MIB, 100 * MIB
    digest = hashlib.sha512()
    with backend.writer(image_id) as writer:
        position = 0
        while position < size:
            length = min(chunk if at - MIB < position < at + 5 * MIB else 8 * MIB, size - position)
            data = bytearray(length)
            begin, end = max(position, at), min(position + length, at + len(DATA))
            if begin < end:
                data[begin - position : end - position] = DATA[begin - at : end - at]
            digest.update(data)
            writer.write(bytes(data))
            position += length
        stored = writer.commit()
    assert stored.size_bytes == size
    assert stored.os_hash_value == digest.hexdigest()
    assert allocated_bytes(backend.path(image_id)) < len(DATA) + 2 * 65536 + 4096
    with backend.open_range(image_id) as whole:
        again = hashlib.sha512()
        for piece in whole:
            again.update(piece)
    assert again.hexdigest() == digest.hexdigest()


def test_usage_counts_images_and_not_uploads(backend: FileBackend) -> None:
    for _ in range(3):
        store(backend, str(uuid.uuid4()))
    with backend.writer(str(uuid.uuid4())) as writer:
        writer.write(DATA)
        usage = backend.usage()
    assert (usage.images, usage.logical_bytes) == (3, 3 * len(DATA))
    assert usage.allocated_bytes >= 3 * len(DATA)
    assert usage.free_bytes > 0


def test_what_no_image_knows_is_collected_when_it_is_old(backend: FileBackend, tmp_path: Path) -> None:
    known, orphan, young = (str(uuid.uuid4()) for _ in range(3))
    for image_id in (known, orphan, young):
        store(backend, image_id, b"data")
    assert backend.collect_stale({known}) == []
    assert backend.collect_stale({known, young}, older_than_seconds=-1) == [orphan]
    assert everything(tmp_path / "images") == sorted([known, young])


def test_an_upload_at_work_is_not_stale(backend: FileBackend, image_id: str) -> None:
    with backend.writer(image_id) as writer:
        writer.write(DATA)
        assert backend.collect_stale(set(), older_than_seconds=-1) == []
        writer.commit()
    assert backend.path(image_id).read_bytes() == DATA


KILLED = """
import sys
from pathlib import Path
from polyvisor.image.files import FileBackend
with FileBackend(Path(sys.argv[1])).writer("image") as writer:
    writer.write(b"x" * 1000000)
    print("written", flush=True)
    sys.stdin = open("/dev/zero"); sys.stdin.read()
"""


def test_an_upload_whose_process_was_killed_is_collected(backend: FileBackend, tmp_path: Path) -> None:
    with child(KILLED, tmp_path / "images") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        assert backend.collect_stale(set()) == []
        kill(process)
    assert len(everything(tmp_path / "images")) == 3
    assert len(backend.collect_stale(set())) == 1
    assert everything(tmp_path / "images") == []


FILLS_UP = """
import json, os, sys
from pathlib import Path
from polyvisor.image.errors import NoRoom
from polyvisor.image.files import FileBackend
folder = Path(sys.argv[1])
backend = FileBackend(folder / "images")
def put(name, size):
    with backend.writer(name) as writer:
        for _ in range(size // 65536):
            writer.write(os.urandom(65536))
        writer.commit()
put("small", 1 << 20)
free = backend.usage().free_bytes
try:
    put("large", 8 << 20)
    said = None
except NoRoom as error:
    said = error.sentence
left = sorted(p.name for p in (folder / "images").iterdir() if p.name != ".staging.lock")
again = backend.usage().free_bytes
put("other", 1 << 20)
print(json.dumps({"said": said, "left": left, "same": free == again, "images": backend.usage().images}))
"""


def test_a_full_disk_ends_the_upload_and_leaves_nothing(tmp_path: Path) -> None:
    told = on_a_small_disk(FILLS_UP, tmp_path, 4096)
    assert "no room left" in str(told["said"])
    assert str(tmp_path) not in str(told["said"])
    assert (told["left"], told["same"], told["images"]) == (["small"], True, 2)


def test_uploads_of_one_image_at_once_leave_one_of_them_whole(
    backend: FileBackend, image_id: str, tmp_path: Path
) -> None:
    bodies = [bytes([number]) * (MIB + number) for number in range(8)]
    threads = [threading.Thread(target=store, args=(backend, image_id, body)) for body in bodies]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        backend.collect_stale({image_id})
    for thread in threads:
        thread.join()
    assert backend.path(image_id).read_bytes() in bodies
    assert everything(tmp_path / "images") == [image_id]


def test_others_on_the_machine_cannot_read_images(backend: FileBackend, image_id: str, tmp_path: Path) -> None:
    store(backend, image_id)
    assert backend.path(image_id).stat().st_mode & 0o077 == 0
    assert (tmp_path / "images").stat().st_mode & 0o077 == 0
