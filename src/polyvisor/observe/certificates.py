"""How long certificates are still good: those in files, the cloud's own authority, and its agents'."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from polyvisor.model.agent import Agent, Authority
from polyvisor.observe.metric import Metric, family

FILES = Metric(
    name="polyvisor_certificate_seconds",
    kind="gauge",
    help="For how long a certificate that this process uses is still good; below 0, since when it is not.",
    labels=("certificate",),
)
AUTHORITY = Metric(
    name="polyvisor_authority_seconds",
    kind="gauge",
    help="For how long the certificate of the cloud's own authority is still good, which signs for agents.",
)
AGENTS = Metric(
    name="polyvisor_agent_certificate_seconds",
    kind="gauge",
    help="For how long an agent's certificate is still good: it renews it long before. Revoked ones are not shown.",
    labels=("agent",),
)
METRICS = (FILES, AUTHORITY, AGENTS)


@lru_cache(maxsize=64)
def _end_of(pem: bytes) -> datetime:
    """When the first certificate of a PEM text ends."""
    from cryptography import x509

    return x509.load_pem_x509_certificate(pem).not_valid_after_utc


def of_agents(agents: Sequence[Agent], authority: Authority | None, now: datetime) -> Iterator[Family]:
    """The metrics of one reading of the store."""
    ends = {agent.name: agent.certificate_until for agent in agents if agent.revoked_at is None}
    yield family(AGENTS, (((name,), (until - now).total_seconds()) for name, until in ends.items()))
    if authority is not None:
        until = _end_of(authority.certificate.encode())
        yield family(AUTHORITY, [((), (until - now).total_seconds())])


class Files(Collector):
    """Certificates in files, read when they are asked for: a renewed one is seen at once."""

    def __init__(self, files: Mapping[str, Path], clock: Callable[[], datetime]) -> None:
        """`files`: what each is for → a PEM file, its own certificate first."""
        self._files, self._clock = dict(files), clock

    def describe(self) -> list[Family]:
        """Nothing: registering it must not read files."""
        return []

    def collect(self) -> Iterator[Family]:
        """One metric; a file that cannot be read has no sample."""
        now = self._clock()
        samples = []
        for name, path in self._files.items():
            try:
                samples.append(((name,), (_end_of(path.read_bytes()) - now).total_seconds()))
            except (OSError, ValueError):
                continue
        yield family(FILES, samples)
