"""Whatever bytes come, inspection ends in a verdict: an Inspection, or a refusal in a sentence, and nothing else."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyvisor.image.errors import ImageRefused
from polyvisor.image.formats.check import MAXIMUM_VIRTUAL_BYTES
from polyvisor.image.inspect import Inspection, StreamInspector, inspect
from polyvisor.model.image_format import ContainerFormat, DiskFormat
from tests.image import images
from tests.image.images import MIB, WRITTEN_BY_QEMU

Changes = dict[float, bytes]
"""Where in the file (0 to 1) and what to write there."""

CHANGES = st.dictionaries(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=16), min_size=1, max_size=4)
ORDINARY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A disk of a MiB in every format; OVAs as well."""
    folder = tmp_path_factory.mktemp("small")
    raw = images.raw_disk(folder / "raw", MIB, data={70000: 5000})
    found = {
        name: images.written(raw, folder / name, driver, options).read_bytes()
        for name, (_, driver, options) in WRITTEN_BY_QEMU.items()
        if name not in ("vhdx-fixed", "qcow2-2M-clusters")
    }
    ova = images.ova_of(folder / "ova", folder / "vmdk-stream")
    return found | {"ova": ova.read_bytes(), "iso": images.iso(folder / "iso").read_bytes(), "raw": raw.read_bytes()}


def verdict(data: bytes, path: Path, declared: DiskFormat, container: ContainerFormat) -> Inspection | str:
    """What becomes of these bytes, streamed and whole."""
    path.write_bytes(data)
    try:
        inspector = StreamInspector(declared, container)
        for begin in range(0, len(data), 10_000):
            inspector.write(data[begin : begin + 10_000])
        inspector.finish()
        streamed = None
    except ImageRefused as refused:
        streamed = refused.sentence
    try:
        found = inspect(path, declared, container)
    except ImageRefused as refused:
        return refused.sentence
    assert streamed is None, "refused while it streamed, and taken when it was whole"
    assert 0 < found.virtual_size_bytes <= MAXIMUM_VIRTUAL_BYTES
    return found


@pytest.mark.parametrize(
    "name", ["qcow2", "vmdk-sparse", "vmdk-stream", "vhd-dynamic", "vhdx-dynamic", "vdi", "iso", "ova"]
)
@ORDINARY
@given(changes=CHANGES, near_the_start=st.booleans())
def test_a_changed_image_gets_a_verdict(
    name: str, changes: Changes, near_the_start: bool, small: dict[str, bytes], tmp_path: Path
) -> None:
    data = bytearray(small[name])
    reach = min(2048, len(data)) if near_the_start else len(data)
    for at, new in changes.items():
        offset = int(at * reach)
        data[offset : offset + len(new)] = new
    special = {"iso": DiskFormat.ISO, "ova": DiskFormat.VMDK}
    declared = special.get(name) or WRITTEN_BY_QEMU[name][0]
    container = ContainerFormat.OVA if name == "ova" else ContainerFormat.BARE
    verdict(bytes(data), tmp_path / "image", declared, container)


@ORDINARY
@given(
    head=st.sampled_from(
        [
            b"QFI\xfb",
            b"KDMV",
            b"conectix",
            b"vhdxfile",
            b"# Disk DescriptorFile\n",
            b"LUKS\xba\xbe",
            b"COWD",
            b"QED\0",
            b"",
        ]
    ),
    rest=st.binary(max_size=3000),
    declared=st.sampled_from(sorted(set(DiskFormat) - {DiskFormat.AKI, DiskFormat.ARI, DiskFormat.AMI})),
)
def test_bytes_that_only_begin_like_an_image_get_a_verdict(
    head: bytes, rest: bytes, declared: DiskFormat, tmp_path: Path
) -> None:
    found = verdict(head + rest, tmp_path / "image", declared, ContainerFormat.BARE)
    if head and declared is DiskFormat.RAW:
        assert isinstance(found, str)


@ORDINARY
@given(part=st.floats(0, 1, exclude_min=True), name=st.sampled_from([*sorted(WRITTEN_BY_QEMU), "ova", "iso"]))
def test_an_image_cut_anywhere_gets_a_verdict(part: float, name: str, small: dict[str, bytes], tmp_path: Path) -> None:
    if name not in small:
        return
    data = small[name][: max(1, int(part * len(small[name])))]
    special = {"iso": DiskFormat.ISO, "ova": DiskFormat.VMDK}
    declared = special.get(name) or WRITTEN_BY_QEMU[name][0]
    verdict(data, tmp_path / "image", declared, ContainerFormat.OVA if name == "ova" else ContainerFormat.BARE)


@ORDINARY
@given(text=st.text(max_size=400), where=st.floats(0, 1))
def test_any_ovf_gets_a_verdict(text: str, where: float, small: dict[str, bytes], tmp_path: Path) -> None:
    honest = images.ovf().decode()
    at = int(where * len(honest))
    ovf = (honest[:at] + text + honest[at:]).encode("utf-8", "replace")
    path = images.ova(tmp_path / "image", {"vm.ovf": ovf, "disk.vmdk": small["vmdk-stream"]})
    verdict(path.read_bytes(), path, DiskFormat.VMDK, ContainerFormat.OVA)
