"""Removes the cached copies of images that were deleted, from one host."""

from polyvisor.model.order import HostForgetImages
from polyvisor.model.record import Record
from polyvisor.operate.definition import Operation, Run, control, place_of

host_forget_images = Operation("host.forget_images", HostForgetImages)


class Kept(Record):
    """Which cached images are still wanted."""

    place: str
    keep: frozenset[str]


@host_forget_images.step(at=control)
def choose(run: Run[HostForgetImages]) -> Kept:
    """Every image that exists now may be wanted again; a driver keeps those that guests use by itself."""
    host = run.store.host.get(run.args.host)
    return Kept(place=host.place, keep=host.report.cached_images & run.store.image.ids())


@host_forget_images.step(at=place_of(choose))
def forget(run: Run[HostForgetImages]) -> list[str]:
    """Remove the others; returns their ids."""
    return run.driver.forget_images(run.args.host, run.of(choose).keep)
