"""Two agents of one simulated estate see one world, as two agents of one vCenter do."""

from pathlib import Path

from polyvisor.hypervisor.simulated.estate import SimulatedEstate, SimulatedGuest
from polyvisor.model.power import Power

GUEST = SimulatedGuest(server_id="id-1", name="one", host="host-1", power=Power.OFF)


def test_what_one_process_does_another_sees_at_once(tmp_path: Path) -> None:
    one, other = (SimulatedEstate(tmp_path / "world.db") for _ in range(2))
    one.put(GUEST)
    one.add_image("host-1", "image-1")
    assert other.guests() == [GUEST]
    assert other.images("host-1") == {"image-1"}
    other.remove("id-1")
    other.remove_image("host-1", "image-1")
    assert one.get("id-1") is None
    assert one.images("host-1") == frozenset()
    one.close()
    other.close()


def test_a_change_is_never_made_on_what_is_no_longer_true(tmp_path: Path) -> None:
    one, other = (SimulatedEstate(tmp_path / "world.db") for _ in range(2))
    one.put(GUEST)
    other.remove("id-1")
    one.remove("id-1")
    one.add_image("host-1", "image-1")
    other.remove_image("host-1", "image-1")
    one.add_image("host-1", "image-1")
    assert other.images("host-1") == {"image-1"}
    assert other.guests() == one.guests() == []
    one.close()
    other.close()
