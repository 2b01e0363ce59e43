"""The cache makes an image ready once, whatever happens meanwhile, and keeps it as long as it is needed."""

import hashlib
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyvisor.image.cache import CachedImage, ImageCache
from polyvisor.image.convert import ConvertOptions
from polyvisor.image.errors import ConversionCancelled, ImageBytesDamaged
from polyvisor.image.sparse import allocated_bytes
from polyvisor.model.image import ImageRef
from polyvisor.model.image_format import QCOW2, RAW, VMDK_STREAM_OPTIMIZED
from tests.image import images
from tests.image.images import MIB, same_disk
from tests.image.processes import child, kill, on_a_small_disk, working_in


def ref_of(
    path: Path, disk_format: str, image_id: str = "3f4f9f26-0d3c-4f4c-9c7c-0d6f6f1f2b11", **more: str
) -> ImageRef:
    """The reference to an image whose stored bytes are this file."""
    return ImageRef(
        id=image_id,
        disk_format=disk_format,
        container_format=more.pop("container_format", "bare"),
        size_bytes=path.stat().st_size,
        virtual_size_bytes=32 * MIB,
        sha512=hashlib.sha512(path.read_bytes()).hexdigest(),
        properties=more,
    )


class Source:
    """Fetches a file, and counts how often."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fetched = 0

    def __call__(self, target: Path) -> None:
        self.fetched += 1
        assert not target.exists()
        target.write_bytes(self.path.read_bytes())


@pytest.fixture
def cache(tmp_path: Path) -> ImageCache:
    return ImageCache(tmp_path / "cache")


def everything(tmp_path: Path) -> list[str]:
    """The names in the cache's folder, but for locks."""
    return sorted(path.name for path in (tmp_path / "cache").iterdir() if path.name not in (".staging.lock", ".locks"))


def test_an_image_is_fetched_and_converted_once(cache: ImageCache, formats: dict[str, Path], raw: Path) -> None:
    source = Source(formats["qcow2"])
    image = ref_of(source.path, "qcow2")
    assert cache.peek(image, VMDK_STREAM_OPTIMIZED) is None
    first = cache.get(image, VMDK_STREAM_OPTIMIZED, source)
    assert same_disk(raw, "raw", first.path, "vmdk")
    assert (first.form, first.virtual_size_bytes, first.image_id) == (VMDK_STREAM_OPTIMIZED, 32 * MIB, image.id)
    assert first.allocated_bytes == allocated_bytes(first.path)
    assert cache.get(image, VMDK_STREAM_OPTIMIZED, source).path == first.path
    assert source.fetched == 1
    assert cache.peek(image, VMDK_STREAM_OPTIMIZED) is not None


def test_an_image_in_its_native_form_is_kept_as_it_is(cache: ImageCache, formats: dict[str, Path]) -> None:
    made = cache.get(ref_of(formats["qcow2-zstd"], "qcow2"), QCOW2, Source(formats["qcow2-zstd"]))
    assert made.path.read_bytes() == formats["qcow2-zstd"].read_bytes()


def test_a_file_on_this_machine_is_not_fetched_and_not_changed(
    cache: ImageCache, formats: dict[str, Path], raw: Path, tmp_path: Path
) -> None:
    def fetch(path: Path) -> None:
        raise AssertionError("fetched what was here")

    before = formats["vmdk-stream"].stat()
    content = formats["vmdk-stream"].read_bytes()
    image = ref_of(formats["vmdk-stream"], "vmdk", vmware_disktype="streamOptimized")
    for form, driver in ((QCOW2, "qcow2"), (VMDK_STREAM_OPTIMIZED, "vmdk"), (RAW, "raw")):
        made = cache.get(image, form, fetch, local=formats["vmdk-stream"])
        assert same_disk(raw, "raw", made.path, driver)
        assert made.allocated_bytes < 4 * MIB
    after = formats["vmdk-stream"].stat()
    assert (after.st_mtime_ns, after.st_ctime_ns, after.st_mode) == (
        before.st_mtime_ns,
        before.st_ctime_ns,
        before.st_mode,
    )
    assert formats["vmdk-stream"].read_bytes() == content
    native = cache.get(ref_of(raw, "raw"), RAW, fetch, local=raw)
    assert native.path.stat().st_ino != raw.stat().st_ino
    assert native.allocated_bytes < 4 * MIB


def test_an_ova_becomes_what_is_wanted(cache: ImageCache, formats: dict[str, Path], raw: Path, tmp_path: Path) -> None:
    path = images.ova_of(tmp_path / "vm.ova", formats["vmdk-stream"])
    image = ref_of(path, "vmdk", container_format="ova", vmware_disktype="streamOptimized")
    assert same_disk(raw, "raw", cache.get(image, QCOW2, Source(path)).path, "qcow2")
    assert (
        cache.get(image, VMDK_STREAM_OPTIMIZED, Source(path)).path.read_bytes() == formats["vmdk-stream"].read_bytes()
    )


def test_a_file_that_was_linked_and_not_copied_is_not_changed(cache: ImageCache, formats: dict[str, Path]) -> None:
    before = formats["qcow2"].stat()
    formats["qcow2"].chmod(0o600)
    made = cache.get(ref_of(formats["qcow2"], "qcow2"), QCOW2, lambda path: path.hardlink_to(formats["qcow2"]))
    assert made.path.stat().st_ino != before.st_ino
    assert formats["qcow2"].stat().st_mode & 0o777 == 0o600


def test_a_property_changed_after_the_upload_does_not_matter(
    cache: ImageCache, formats: dict[str, Path], raw: Path
) -> None:
    image = ref_of(formats["vmdk-sparse"], "vmdk", vmware_disktype="preallocated")
    known = msgspec.structs.replace(image, subformat="monolithicSparse")
    assert same_disk(raw, "raw", cache.get(known, QCOW2, Source(formats["vmdk-sparse"])).path, "qcow2")


def test_damaged_bytes_are_refused_and_not_kept(cache: ImageCache, formats: dict[str, Path], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.write_bytes(formats["qcow2"].read_bytes()[:-1] + b"x")
    shorter = tmp_path / "shorter"
    shorter.write_bytes(formats["qcow2"].read_bytes()[:-1])
    image = ref_of(formats["qcow2"], "qcow2")
    for path in (damaged, shorter):
        with pytest.raises(ImageBytesDamaged, match="SHA-512"):
            cache.get(image, QCOW2, Source(path))
        with pytest.raises(ImageBytesDamaged, match="SHA-512"):
            cache.get(image, QCOW2, Source(path), local=path)
    assert everything(tmp_path) == []
    cache.get(image, QCOW2, Source(formats["qcow2"]))


def test_what_fetching_raises_goes_through_and_leaves_nothing(cache: ImageCache, raw: Path, tmp_path: Path) -> None:
    def fetch(path: Path) -> None:
        path.write_bytes(b"half")
        raise ConnectionResetError("the link broke")

    with pytest.raises(ConnectionResetError):
        cache.get(ref_of(raw, "raw"), QCOW2, fetch)
    assert everything(tmp_path) == []


def test_other_bytes_other_forms_and_other_options_are_other_entries(
    cache: ImageCache, formats: dict[str, Path], raw: Path
) -> None:
    image = ref_of(raw, "raw")
    again = ref_of(formats["qcow2"], "qcow2", image.id)
    paths = {
        cache.get(image, RAW, Source(raw)).path,
        cache.get(image, QCOW2, Source(raw)).path,
        cache.get(again, QCOW2, Source(formats["qcow2"])).path,
        cache.get(image, VMDK_STREAM_OPTIMIZED, Source(raw)).path,
        cache.get(image, VMDK_STREAM_OPTIMIZED, Source(raw), options=ConvertOptions(adapter_type="ide")).path,
        cache.get(image, VMDK_STREAM_OPTIMIZED, Source(raw), options=ConvertOptions(hardware_version=13)).path,
    }
    assert len(paths) == 6
    assert cache.forget(image.id)
    assert cache.entries() == []


def in_threads(count: int, act: Callable[[], None]) -> None:
    """Do the same thing in several threads at once; errors go through."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(count)

    def one() -> None:
        barrier.wait()
        try:
            act()
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_threads_that_ask_at_once_share_one_conversion(tmp_path: Path, formats: dict[str, Path], raw: Path) -> None:
    source = Source(formats["qcow2"])
    image = ref_of(source.path, "qcow2")
    made: list[CachedImage] = []
    in_threads(8, lambda: made.append(ImageCache(tmp_path / "cache").get(image, VMDK_STREAM_OPTIMIZED, source)))
    assert source.fetched == 1
    assert len({found.path for found in made}) == 1
    assert same_disk(raw, "raw", made[0].path, "vmdk")


def test_a_failure_is_the_asker_s_own_and_the_next_one_tries_again(
    cache: ImageCache, formats: dict[str, Path], raw: Path
) -> None:
    image = ref_of(formats["qcow2"], "qcow2")
    first = threading.Lock()

    def fetch(path: Path) -> None:
        time.sleep(0.05)
        if first.acquire(blocking=False):
            raise ConnectionResetError("the link broke")
        path.write_bytes(formats["qcow2"].read_bytes())

    outcomes: list[object] = []

    def ask() -> None:
        try:
            outcomes.append(cache.get(image, QCOW2, fetch))
        except ConnectionResetError as error:
            outcomes.append(error)

    in_threads(4, ask)
    assert sum(isinstance(outcome, CachedImage) for outcome in outcomes) == 3


def test_one_who_waits_for_another_can_be_stopped(cache: ImageCache, formats: dict[str, Path]) -> None:
    image = ref_of(formats["qcow2"], "qcow2")
    fetching, go_on, cancel = threading.Event(), threading.Event(), threading.Event()

    def fetch(path: Path) -> None:
        fetching.set()
        assert go_on.wait(60)
        path.write_bytes(formats["qcow2"].read_bytes())

    other = threading.Thread(target=cache.get, args=(image, QCOW2, fetch))
    other.start()
    assert fetching.wait(60)
    threading.Timer(0.2, cancel.set).start()
    with pytest.raises(ConversionCancelled):
        cache.get(image, QCOW2, fetch, cancel=cancel)

    def tell(percent: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        cache.get(image, QCOW2, fetch, progress=tell)
    go_on.set()
    other.join()
    assert cache.peek(image, QCOW2) is not None


@pytest.fixture
def three(cache: ImageCache, raw: Path) -> list[CachedImage]:
    """Three images, last used 3,000, 2,000 and 1,000 seconds ago."""
    made = [cache.get(ref_of(raw, "raw", f"image-{number}"), RAW, Source(raw)) for number in range(3)]
    for number, entry in enumerate(made):
        moment = time.time() - 3000 + 1000 * number
        os.utime(entry.path.parent / "entry.json", (moment, moment))
    return made


def test_what_was_unused_for_long_is_evicted(cache: ImageCache, three: list[CachedImage], tmp_path: Path) -> None:
    now = time.time()
    assert [entry.image_id for entry in cache.entries()] == ["image-0", "image-1", "image-2"]
    assert cache.evict(now, unused_since=now - 1500, in_use={three[0].path}) == ["image-1"]
    assert len(everything(tmp_path)) == 2
    assert three[0].path.exists()
    assert not three[1].path.exists()


def test_over_the_limit_the_least_recently_used_goes_first(
    cache: ImageCache, three: list[CachedImage], raw: Path
) -> None:
    now = time.time()
    size = three[0].allocated_bytes
    assert cache.evict(now, limit_bytes=3 * size) == []
    cache.get(ref_of(raw, "raw", "image-0"), RAW, Source(raw))
    assert cache.evict(now, limit_bytes=2 * size) == ["image-1"]
    assert cache.evict(now, limit_bytes=0, in_use={three[2].path}) == []
    assert cache.evict(now, limit_bytes=0) == ["image-2"]
    assert [entry.image_id for entry in cache.entries()] == ["image-0"], (
        "used just now, so a guest may be in the making"
    )
    assert cache.evict(now + 3600, limit_bytes=0) == ["image-0"]


def test_forgetting_an_image_spares_what_is_in_use(cache: ImageCache, three: list[CachedImage]) -> None:
    assert not cache.forget("image-1", in_use={three[1].path})
    assert three[1].path.exists()
    assert cache.forget("image-1")
    assert not three[1].path.exists()
    assert cache.forget("image-1")
    assert len(cache.entries()) == 2


def test_eviction_while_others_ask_breaks_nothing(cache: ImageCache, formats: dict[str, Path], tmp_path: Path) -> None:
    image = ref_of(formats["qcow2"], "qcow2")
    source = Source(formats["qcow2"])
    done = threading.Event()

    def evict() -> None:
        while not done.is_set():
            cache.evict(time.time(), limit_bytes=0, grace_seconds=-1)
            cache.collect_stale()

    def ask() -> None:
        for _ in range(30):
            assert cache.get(image, QCOW2, source).form == QCOW2

    evictor = threading.Thread(target=evict)
    evictor.start()
    try:
        in_threads(3, ask)
    finally:
        done.set()
        evictor.join()
    made = cache.get(image, QCOW2, source)
    assert made.path.read_bytes() == formats["qcow2"].read_bytes()
    assert everything(tmp_path) == [made.path.parent.name]


def test_an_entry_that_cannot_be_read_is_made_anew(cache: ImageCache, raw: Path) -> None:
    source = Source(raw)
    made = cache.get(ref_of(raw, "raw"), RAW, source)
    (made.path.parent / "entry.json").write_text("{")
    assert cache.entries() == []
    assert cache.get(ref_of(raw, "raw"), RAW, source).path.read_bytes() == raw.read_bytes()
    assert source.fetched == 2


def test_an_id_cannot_name_another_place(cache: ImageCache, raw: Path) -> None:
    for image_id in ("../x", "a/b", ".hidden"):
        with pytest.raises(ValueError, match="no image id"):
            cache.get(ref_of(raw, "raw", image_id), RAW, Source(raw))


MAKES_READY = """
import shutil, sys
from pathlib import Path
import msgspec
from polyvisor.image.cache import ImageCache
from polyvisor.model.image import ImageRef
from polyvisor.model.image_format import VMDK_STREAM_OPTIMIZED
folder, source, image = Path(sys.argv[1]), Path(sys.argv[2]), msgspec.json.decode(sys.argv[3], type=ImageRef)
print("go", flush=True)
ImageCache(folder).get(image, VMDK_STREAM_OPTIMIZED, lambda path: shutil.copyfile(source, path))
print("done", flush=True)
"""


@pytest.fixture(scope="session")
def whole_seconds(formats: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> float:
    """How long it takes to make the image ready when nobody disturbs it."""
    asked = msgspec.json.encode(ref_of(formats["qcow2"], "qcow2")).decode()
    with child(MAKES_READY, tmp_path_factory.mktemp("undisturbed"), formats["qcow2"], asked) as process:
        assert process.stdout is not None
        process.stdout.readline()
        begin = time.monotonic()
        assert process.stdout.readline() == "done\n"
        return time.monotonic() - begin


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], print_blob=True)
@given(moment=st.floats(0, 1.2))
def test_kill_9_at_any_moment_loses_nothing(
    moment: float, whole_seconds: float, raw: Path, formats: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("killed")
    cache = ImageCache(folder / "cache")
    image = ref_of(formats["qcow2"], "qcow2")
    asked = msgspec.json.encode(image).decode()
    with child(MAKES_READY, folder / "cache", formats["qcow2"], asked) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moment * whole_seconds)
        kill(process)
    found = cache.peek(image, VMDK_STREAM_OPTIMIZED)
    assert found is None or same_disk(raw, "raw", found.path, "vmdk")
    made = cache.get(image, VMDK_STREAM_OPTIMIZED, Source(formats["qcow2"]))
    assert same_disk(raw, "raw", made.path, "vmdk")
    cache.collect_stale()
    assert [path.name for path in (folder / "cache").iterdir() if path.name[0] != "."] == [made.path.parent.name]
    assert list((folder / "cache").glob(".partial-*")) == []


def test_processes_that_ask_at_once_share_one_conversion(tmp_path: Path, raw: Path, formats: dict[str, Path]) -> None:
    log = tmp_path / "log"
    code = MAKES_READY.replace(
        "lambda path: shutil.copyfile(source, path)",
        "lambda path: (open(sys.argv[4], 'a').write('x'), shutil.copyfile(source, path))",
    )
    image = ref_of(formats["qcow2"], "qcow2")
    arguments = (tmp_path / "cache", formats["qcow2"], msgspec.json.encode(image).decode(), log)
    with child(code, *arguments) as one, child(code, *arguments) as two, child(code, *arguments) as three:
        assert [process.wait(timeout=180) for process in (one, two, three)] == [0, 0, 0]
    assert log.read_text() == "x"
    found = ImageCache(tmp_path / "cache").peek(image, VMDK_STREAM_OPTIMIZED)
    assert found is not None
    assert same_disk(raw, "raw", found.path, "vmdk")


FILLS_UP = """
import json, os, sys
from pathlib import Path
import msgspec
from polyvisor.image.cache import ImageCache
from polyvisor.image.errors import NoRoom
from polyvisor.model.image import ImageRef
from polyvisor.model.image_format import QCOW2, RAW
folder, source, image = Path(sys.argv[1]), Path(sys.argv[2]), msgspec.json.decode(sys.argv[3], type=ImageRef)
cache = ImageCache(folder / "cache")
said = []
for form in (RAW, QCOW2):
    for local in (source, None):
        try:
            cache.get(image, form, lambda path: path.write_bytes(source.read_bytes()), local=local)
        except NoRoom as error:
            said.append(error.sentence)
left = [p.name for p in (folder / "cache").iterdir() if p.name[0] != "." or p.name.startswith(".partial")]
print(json.dumps({"said": said, "left": left}))
"""


def test_a_full_disk_is_said_to_be_full_and_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(random.Random(5).randbytes(3 * MIB))
    (tmp_path / "small").mkdir()
    asked = msgspec.json.encode(ref_of(path, "raw")).decode()
    told = on_a_small_disk(FILLS_UP, tmp_path / "small", 2048, path, asked)
    assert isinstance(told["said"], list)
    assert len(told["said"]) == 4
    assert told["left"] == []
    assert working_in(tmp_path) == []
