"""Reading properties through the PropertyCollector: leaf properties only, many objects at once, every page."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pyVmomi import vim, vmodl

from polyvisor.hypervisor.vsphere.session import Session

Properties = dict[str, Any]
"""Of one object: path → value; paths without a value are absent."""
T = TypeVar("T")


def read(session: Session, reference: Any, paths: Sequence[str]) -> Properties | None:
    """The properties of one object; None when it is gone."""
    query = vmodl.query.PropertyCollector
    spec = query.FilterSpec(
        objectSet=[query.ObjectSpec(obj=reference)],
        propSet=[query.PropertySpec(type=type(reference), pathSet=list(paths))],
    )
    try:
        found = anew(session, lambda: retrieve(session, spec))
    except vmodl.fault.ManagedObjectNotFound:
        return None
    return found[0][1] if found else None


def sweep(
    session: Session, container: Any, paths: Mapping[Any, Sequence[str]]
) -> dict[Any, list[tuple[Any, Properties]]]:
    """All objects of the given types below `container` (a folder, a datacenter, a cluster), in one question.

    Returns type → (reference, properties), with an entry for every type asked for.
    """

    def once() -> list[tuple[Any, Properties]]:
        with view_of(session, container, list(paths)) as view:
            return retrieve(session, view_spec([view], paths))

    found: dict[Any, list[tuple[Any, Properties]]] = {kind: [] for kind in paths}
    for reference, properties in anew(session, once):
        kind = next(kind for kind in paths if isinstance(reference, kind))
        found[kind].append((reference, properties))
    return found


@contextlib.contextmanager
def view_of(session: Session, container: Any, kinds: list[Any]) -> Iterator[Any]:
    """A container view, for as long as the block lasts."""
    view = session.content.viewManager.CreateContainerView(container, kinds, recursive=True)
    try:
        yield view
    finally:
        with contextlib.suppress(vmodl.MethodFault):
            view.Destroy()


def view_spec(views: list[Any], paths: Mapping[Any, Sequence[str]]) -> Any:
    """The filter that selects these properties of all that is in the views."""
    query = vmodl.query.PropertyCollector
    members = query.TraversalSpec(name="members", type=vim.view.ContainerView, path="view", skip=False)
    return query.FilterSpec(
        objectSet=[query.ObjectSpec(obj=view, skip=True, selectSet=[members]) for view in views],
        propSet=[query.PropertySpec(type=kind, pathSet=list(wanted)) for kind, wanted in paths.items()],
    )


def retrieve(session: Session, spec: Any) -> list[tuple[Any, Properties]]:
    """Every page of what the filter selects: vCenter hands out a hundred objects at a time."""
    collector = session.content.propertyCollector
    found: list[tuple[Any, Properties]] = []
    page = collector.RetrievePropertiesEx([spec], vmodl.query.PropertyCollector.RetrieveOptions())
    while page is not None:
        found += [(each.obj, _properties(each)) for each in page.objects]
        page = collector.ContinueRetrievePropertiesEx(page.token) if page.token else None
    return found


def _properties(each: Any) -> Properties:
    for missing in each.missingSet or ():
        if isinstance(missing.fault, vim.fault.NotAuthenticated):
            raise missing.fault
    return {prop.name: _plain(prop.val) for prop in each.propSet if prop.val is not None}


def _plain(value: Any) -> Any:
    """pyVmomi has number types of its own for VMware's short and long; what leaves here is Python's int."""
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def anew(session: Session, work: Callable[[], T]) -> T:
    """Do the work; and once more when the session, with the views and pages in it, ended under it."""
    _ = session.content
    generation = session.generation
    try:
        return work()
    except vim.fault.NotAuthenticated:
        session.renew(generation)
    except vmodl.fault.ManagedObjectNotFound:
        if session.generation == generation:
            raise
    return work()
