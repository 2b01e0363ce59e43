"""The simulated backend: which ports it calls up."""

from polyvisor.model.network_intent import Unit
from polyvisor.network.backend import Subject
from polyvisor.network.simulated.backend import SimulatedBackend
from tests.network.records import bound, network, port, records, router, router_port, subnet


def test_a_routers_port_is_up_with_its_router_in_whatever_order_they_come() -> None:
    inner = router_port("rp", "n", 2, ("s", "10.0.0.1"))
    plugged, loose = port("p", "n", 3, binding=bound("h")), port("q", "n", 4)
    things = (network("n"), subnet("s", "n", "10.0.0.0/24"), router("r", admin_state_up=False), plugged, loose)
    told = records(*things, interfaces={"r": (inner,)})
    subjects = [Subject(unit=Unit.ROUTER, id="r"), *(Subject(unit=Unit.PORT, id=id) for id in ("rp", "p", "q"))]
    for order in (subjects, subjects[::-1]):
        backend = SimulatedBackend()
        seen: dict[str, bool] = {}
        for subject in order:
            backend.bring_about(told, [subject])
            seen |= backend.statuses()
        assert seen == {"rp": True, "p": True, "q": False}
