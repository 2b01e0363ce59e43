"""Guests, as their hypervisors tell them."""

from polyvisor.model.power import Power
from polyvisor.model.record import Told


class GuestReport(Told):
    """A guest as its hypervisor tells it."""

    server_id: str | None
    """None for a guest that Polyvisor did not make: it is left alone, and reported."""
    name: str
    host: str
    """The name of the host (cluster) that runs it."""
    member: str = ""
    """The ESXi host it runs on at the moment; "" for other kinds."""
    power: Power
    fenced: bool = False
    """It ran until its agent, cut off from the cloud, turned it off for fear that it is started elsewhere, too."""
