"""The datastore for a disk: reachable, with room, shared before local, and the one wished for if it can be had."""

import pytest

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.vsphere.datastore import GIB, Store, choose
from polyvisor.model.host import Datastore


def store(name: str, free_gib: int, *, shared: bool = True, accessible: bool = True) -> Store:
    record = Datastore(
        name=name,
        kind="VMFS",
        capacity_bytes=1000 * GIB,
        free_bytes=free_gib * GIB,
        shared=shared,
        accessible=accessible,
    )
    return Store(reference=None, record=record, hosts=frozenset({"host-1"}))


def test_the_freest_is_chosen() -> None:
    assert choose([store("a", 10), store("b", 30), store("c", 20)], GIB).name == "b"


def test_a_shared_one_is_preferred_to_a_freer_local_one() -> None:
    assert choose([store("local", 500, shared=False), store("shared", 10)], GIB).name == "shared"


def test_a_local_one_serves_where_there_is_no_other() -> None:
    assert choose([store("local", 500, shared=False)], GIB).name == "local"


def test_the_one_wished_for_is_taken_while_it_has_room() -> None:
    stores = [store("a", 10), store("b", 30)]
    assert choose(stores, 5 * GIB, wished="a").name == "a"
    assert choose(stores, 20 * GIB, wished="a").name == "b"


def test_one_that_has_the_image_is_preferred_unless_another_is_much_freer() -> None:
    assert choose([store("a", 20), store("b", 30)], GIB, cached={"a"}).name == "a"
    assert choose([store("a", 10), store("b", 30)], GIB, cached={"a"}).name == "b"


def test_one_that_is_not_accessible_is_passed_over() -> None:
    assert choose([store("a", 10), store("b", 30, accessible=False)], GIB, wished="b").name == "a"


def test_a_refusal_names_what_each_datastore_has() -> None:
    with pytest.raises(HypervisorError, match="100 GiB free: a 10 GiB, b 30 GiB"):
        choose([store("a", 10), store("b", 30)], 100 * GIB, place="Prod")


def test_no_datastore_at_all_is_a_refusal() -> None:
    with pytest.raises(HypervisorError, match="no accessible datastore"):
        choose([store("b", 30, accessible=False)], GIB, place="Prod")
