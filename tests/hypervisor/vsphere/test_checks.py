"""Each thing that is wrong with a cluster is told with its remedy, and a sound cluster gets no warning (O5)."""

from typing import Any, TypeVar

import msgspec
import pytest

from polyvisor.hypervisor.vsphere.checks import ClusterFacts, warnings
from polyvisor.model.host import Datastore, Member

T = TypeVar("T", bound=msgspec.Struct)
SOUND = ClusterFacts(
    title="Prod",
    drs_enabled=True,
    drs_behavior="fullyAutomated",
    members=tuple(Member(name=name, vcpus=8, memory_mib=1024, memory_used_mib=0) for name in ("esx1", "esx2")),
    datastores=(Datastore(name="ds1", kind="VMFS", capacity_bytes=1, free_bytes=1, shared=True),),
)


def replaced(record: T, **changes: Any) -> T:
    return msgspec.structs.replace(record, **changes)


def test_a_sound_cluster_has_no_warning() -> None:
    assert warnings(SOUND) == ()


@pytest.mark.parametrize(
    ("changes", "what", "remedy"),
    [
        ({"drs_enabled": False}, "DRS is off", "Fully Automated"),
        ({"drs_behavior": "manual"}, "is manual", "Fully Automated"),
        ({"without_vmotion": ("esx2",)}, "vMotion is not enabled on esx2", "VMkernel adapter"),
        ({"datastores": (replaced(SOUND.datastores[0], shared=False),)}, "reached by all", "shared datastore"),
        ({"datastores": ()}, "no datastore", "datastore_regex"),
        ({"datastores": (replaced(SOUND.datastores[0], accessible=False),)}, "accessible", "storage"),
        ({"members": (SOUND.members[0], replaced(SOUND.members[1], connected=False))}, "esx2", "Reconnect"),
    ],
)
def test_what_is_wrong_is_told_once_with_its_remedy(changes: dict[str, object], what: str, remedy: str) -> None:
    (sentence,) = warnings(replaced(SOUND, **changes))
    assert what in sentence
    assert remedy in sentence
    assert "Prod" in sentence


def test_a_single_esxi_host_says_what_it_lacks() -> None:
    alone = ClusterFacts(title="esx9", standalone=True, members=SOUND.members[:1], datastores=SOUND.datastores)
    (sentence,) = warnings(alone)
    assert "no vMotion, HA or DRS" in sentence


def test_a_cluster_of_one_host_needs_neither_vmotion_nor_shared_storage() -> None:
    alone = replaced(
        SOUND, members=SOUND.members[:1], without_vmotion=("esx1",),
        datastores=(replaced(SOUND.datastores[0], shared=False),),
    )  # fmt: skip
    assert warnings(alone) == ()
