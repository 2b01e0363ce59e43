"""Every metric there is, by area, and the reference page made of them."""

from collections.abc import Sequence

from polyvisor.observe import (
    certificates,
    connections,
    estate,
    guests,
    hosts,
    networks,
    operations,
    places,
    process,
    queue,
    requests,
    scheduling,
    station,
)
from polyvisor.observe.metric import Metric

AREAS: tuple[tuple[str, str, Sequence[Metric]], ...] = (
    ("Requests", "Counted by each server for itself.", requests.METRICS),
    (
        "Operations under way",
        "Read from the store: every server tells the same, so take the `max` of them.",
        queue.METRICS,
    ),
    (
        "Operations that ended, and their steps",
        "Counted by the process that ended or ran them: a server, `polyvisor up`, or an agent.",
        operations.METRICS,
    ),
    ("Scheduler", "Counted by each server for itself.", scheduling.METRICS),
    ("Places, agents and servers", "Read from the store: take the `max`.", places.METRICS),
    ("Hosts and capacity", "Read from the store: take the `max`.", hosts.METRICS),
    (
        "Certificates",
        "The first is each process's own; the others are read from the store: take the `min`.",
        certificates.METRICS,
    ),
    ("Processes beside hypervisors", "Told by `polyvisor up` and by each agent for itself.", station.METRICS),
    ("Guests that ask for metadata", "Told by `polyvisor up` and by each agent that has a KVM host.", guests.METRICS),
    ("Networks", "Told by each server for itself: take the `sum`.", networks.METRICS),
    ("Database", "Told by each server for itself.", (*connections.METRICS, *estate.METRICS)),
    ("Process", "Told by each process for itself, beside `process_*` of the Prometheus client.", process.METRICS),
)
METRICS: tuple[Metric, ...] = tuple(metric for _, _, metrics in AREAS for metric in metrics)

_HEAD = """# Metrics

What `/metrics` tells, in Prometheus's text format or, where the reader asks for it, in OpenMetrics. Where it listens
and who may read it: `[metrics]` in [the settings](settings.md); how to scrape it: [observe the
cloud](../how-to/observe.md). No label holds a project, a user, a server or a path. This page is what
`python -m polyvisor.observe.every` prints.
"""


def reference() -> str:
    """The page, as Markdown."""
    parts = [_HEAD]
    for title, note, metrics in AREAS:
        lines = [f"## {title}\n", f"{note}\n", "| metric | kind | labels | meaning |", "|---|---|---|---|"]
        for metric in metrics:
            labels = ", ".join(f"`{label}`" for label in metric.labels)
            lines.append(f"| `{metric.exported}` | {metric.kind} | {labels} | {metric.help} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201 - it is what this command is for
