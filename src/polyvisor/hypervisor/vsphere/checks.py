"""What must hold of a cluster for servers to be safe on it (O5), checked at each report, told with its remedy."""

from collections.abc import Sequence

from polyvisor.model.host import Datastore, Member
from polyvisor.model.record import Record

FULLY_AUTOMATED = "fullyAutomated"


class ClusterFacts(Record):
    """What the checks look at."""

    title: str
    """The cluster's (or ESXi host's) name in vSphere."""
    standalone: bool = False
    drs_enabled: bool = False
    drs_behavior: str = ""
    """vSphere's DrsBehavior: manual, partiallyAutomated, fullyAutomated."""
    members: tuple[Member, ...] = ()
    without_vmotion: tuple[str, ...] = ()
    """Names of the members on which no interface is enabled for vMotion."""
    datastores: tuple[Datastore, ...] = ()
    """Those that the datastore regex allows."""
    datastore_regex: str = ".*"


def warnings(facts: ClusterFacts) -> tuple[str, ...]:
    """Sentences on what is wrong, each with what to do about it; none for a sound cluster."""
    checks = [_no_vcenter] if facts.standalone else [_drs, _vmotion, _shared_storage]
    found = [check(facts) for check in (*checks, _datastores, _disconnected)]
    return tuple(sentence for sentence in found if sentence)


def _no_vcenter(facts: ClusterFacts) -> str:
    return (
        f"{facts.title} is a single ESXi host without vCenter: there is no vMotion, HA or DRS, and its servers are "
        "down while it is. For these, add it to a cluster of a vCenter, and connect that instead."
    )


def _drs(facts: ClusterFacts) -> str:
    turn_on = f"In vCenter, edit vSphere DRS of {facts.title}: turn it on, with the automation level Fully Automated."
    if not facts.drs_enabled:
        return (
            f"DRS is off in the cluster {facts.title}: servers are neither placed nor balanced among its hosts. "
            f"{turn_on}"
        )
    if facts.drs_behavior != FULLY_AUTOMATED:
        level = facts.drs_behavior or "unknown"
        return (
            f"DRS of the cluster {facts.title} is {level}, not {FULLY_AUTOMATED}: it waits for a person before it "
            f"moves a server, and hosts cannot be emptied for maintenance. {turn_on}"
        )
    return ""


def _vmotion(facts: ClusterFacts) -> str:
    if not facts.without_vmotion or len(facts.members) < 2:
        return ""
    return (
        f"vMotion is not enabled on {_listed(facts.without_vmotion)} of the cluster {facts.title}: servers there "
        "cannot be moved while they run. Enable the vMotion service on a VMkernel adapter of each of these hosts."
    )


def _shared_storage(facts: ClusterFacts) -> str:
    if len(facts.members) < 2 or not facts.datastores or any(store.shared for store in facts.datastores):
        return ""
    return (
        f"No datastore that `datastore_regex` ({facts.datastore_regex}) allows is reached by all hosts of the "
        f"cluster {facts.title}: its servers can neither be moved by DRS nor restarted by HA on another host. Mount "
        "a shared datastore on all of its hosts."
    )


def _datastores(facts: ClusterFacts) -> str:
    if any(store.accessible for store in facts.datastores):
        return ""
    if facts.datastores:
        return f"None of the datastores of {facts.title} is accessible now. Look at its storage in vSphere."
    return (
        f"{facts.title} has no datastore whose name matches `datastore_regex` ({facts.datastore_regex}): no server "
        "can be made here. Correct the expression, or add a datastore."
    )


def _disconnected(facts: ClusterFacts) -> str:
    lost = [member.name for member in facts.members if not member.connected]
    if not lost:
        return ""
    return (
        f"{_listed(lost)} of {facts.title} does not answer: its capacity is not counted, and the state of its "
        "servers is unknown. Reconnect it in vCenter."
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more hosts" if len(names) > 5 else shown
