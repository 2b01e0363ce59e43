"""Saying why no host fits: one sentence for the user, and for the administrator what is wrong with each host."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from polyvisor.model.errors import NoHost
from polyvisor.schedule.ask import Ask
from polyvisor.schedule.filters import Filter
from polyvisor.schedule.phrase import Phrase
from polyvisor.schedule.table import HostTable

_GROUPS_NAMED = 4
_PIECES_OF_ADVICE = 2


class Refused(NamedTuple):
    """The hosts that a request cannot go to."""

    reasons: dict[str, list[str]]
    """By host name, in the order of names: every reason, the first filter's first."""
    said: Counter[tuple[Phrase, str]]
    """How many hosts there are of which the user is told this, with its advice: by their first reason."""
    by_filter: Counter[str]
    """How many hosts each filter was the first to pass over."""


def refused(table: HostTable, ask: Ask, filters: Sequence[Filter]) -> Refused:
    """Every host that some filter passes over, with all reasons."""
    masks = [(condition, condition.mask(table, ask)) for condition in filters]
    alive = table.alive[: table.size]
    reasons: dict[int, list[str]] = {}
    said: Counter[tuple[Phrase, str]] = Counter()
    by_filter: Counter[str] = Counter()
    for condition, mask in masks:
        if mask is None:
            continue
        for row in np.flatnonzero(alive & ~mask).tolist():
            reason = condition.reason(table, row, ask)
            if row in reasons:
                reasons[row].append(str(reason))
            else:
                reasons[row] = [str(reason)]
                said[condition.phrase(table, row, ask), condition.ADVICE] += 1
                by_filter[condition.__name__.rpartition(".")[2]] += 1
    return Refused(dict(sorted((table.name(row), why) for row, why in reasons.items())), said, by_filter)


def no_host(table: HostTable, ask: Ask, filters: Sequence[Filter]) -> NoHost:
    """The error for a request that no host fits."""
    found = refused(table, ask, filters)
    refusals = {name: "; ".join(why) for name, why in found.reasons.items()}
    named = ask.request.host
    if not refusals:
        sentence = "No host can run this server: the cloud has no hypervisor yet. Ask the administrator to add one."
    elif named is None:
        sentence = f"No host can run this server: {_counted(found.said)}. {_advice(found.said)}"
    elif named not in refusals:
        sentence = unknown(named)
    else:
        sentence = f"Host {named} cannot run this server: it {refusals[named]}. Ask for another host, or name none."
    return NoHost(sentence, refusals, dict(found.by_filter))


def unknown(name: str) -> str:
    """The sentence for a host that does not exist."""
    return f"There is no host named {name}. Ask for one that `openstack hypervisor list` shows."


def for_every_host(table: HostTable, sentence: str) -> NoHost:
    """The error for a request that no host could ever fit, whatever its state."""
    return NoHost(sentence, dict.fromkeys(table.names(), sentence))


def _counted(said: Counter[tuple[Phrase, str]]) -> str:
    """ "3 hosts are full (memory), 2 run vmware while the image asks for kvm"."""
    counts: Counter[Phrase] = Counter()
    for (phrase, _), count in said.items():
        counts[phrase] += count
    groups = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    parts: list[str] = []
    for phrase, count in groups[:_GROUPS_NAMED]:
        noun = "" if parts else " host" if count == 1 else " hosts"
        parts.append(f"{count}{noun} {phrase.said_of(count)}")
    others = sum(count for _, count in groups[_GROUPS_NAMED:])
    if others:
        parts.append(f"{others} will not do for other reasons")
    return ", ".join(parts)


def _advice(said: Counter[tuple[Phrase, str]]) -> str:
    counts: Counter[str] = Counter()
    for (_, advice), count in said.items():
        counts[advice] += count
    ranked = [advice for advice, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    joined = ", or ".join(ranked[:_PIECES_OF_ADVICE])
    return f"{joined[0].upper()}{joined[1:]}."
