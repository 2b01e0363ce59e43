"""`polyvisor up`: the whole cloud in one process."""

import fcntl
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from polyvisor.api.app import build_app
from polyvisor.api.compute.service import service as compute
from polyvisor.api.identity.passwords import Passwords
from polyvisor.api.identity.service import service as identity
from polyvisor.api.image.service import service as image
from polyvisor.api.kit.edge import Edge
from polyvisor.model.errors import Invalid
from polyvisor.model.record import Record
from polyvisor.observe.health import with_health
from polyvisor.serve.cloud import Cloud, utc_now
from polyvisor.serve.configuration import Configuration, listen_address
from polyvisor.serve.first_start import prepare
from polyvisor.serve.http import HttpServer, bind, is_loopback
from polyvisor.serve.observation import Observation, ObserveSettings
from polyvisor.serve.readiness import checks
from polyvisor.serve.schema import bring_up_to_date
from polyvisor.serve.tls import Certificate, own_certificate
from polyvisor.store.database import Database

log = logging.getLogger(__name__)

SWITCH_SECONDS = 0.0002


class Ready(Record):
    """What a newly started cloud tells."""

    url: str
    data: Path
    hypervisors: tuple[str, ...]
    metrics: str = ""
    """The address of /metrics; empty where there is no listener."""


def up(configuration: Configuration, data: Path, ready: Callable[[Ready], None]) -> bool:
    """Run until stopped by SIGINT or SIGTERM; whether every step that was under way has ended by then.

    Raises Invalid for what the operator has to change.
    """
    # A hypervisor's user may have to pass through DATA to its guests' disks: what lies beside them is ours alone.
    os.umask(0o077)
    # Many threads with little to do each: handing the interpreter on sooner answers a fifth more requests at once.
    sys.setswitchinterval(SWITCH_SECONDS)
    data = data.absolute()
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(data):
        host, port = listen_address(configuration.listen)
        sock = bind(host, port)
        port = sock.getsockname()[1]
        certificate = _certificate(configuration, data, host)
        url = configuration.api.public_url or _url(host, port, certificate)
        database = Database(configuration.database or f"sqlite:///{data / 'polyvisor.db'}")
        try:
            bring_up_to_date(database)
            authority = certificate.authority if certificate else None
            passwords = Passwords(configuration.identity)
            cloud_id = prepare(
                database,
                data,
                passwords,
                url=url,
                region=configuration.region,
                authority=authority,
                now=utc_now(),
            )
            observation = Observation(
                ObserveSettings(metrics=configuration.metrics, traces=configuration.traces), "polyvisor-server"
            )
            cloud = Cloud(configuration, data, database, cloud_id, observation)
            app = _app(configuration, data, database, cloud, passwords, observation)
            observation.checks(checks(database))
            observation.files(
                {"data": data, "images": data / "images"}, {"api": certificate.chain} if certificate else {}
            )
            told = Ready(url=url, data=data, hypervisors=tuple(cloud.drivers), metrics=observation.start(data))
            server = HttpServer(
                with_health(app, observation.health),
                sock,
                certificate,
                lambda: ready(told),
                lambda: observation.drain(configuration.api.drain_seconds),
            )
            cloud.start()
            try:
                server.serve_until_stopped()
            finally:
                ended = cloud.stop()
                app.close()
                observation.close()
        finally:
            database.close()
            sock.close()
    return ended


def _app(
    configuration: Configuration,
    data: Path,
    database: Database,
    cloud: Cloud,
    passwords: Passwords,
    observation: Observation,
) -> Edge:
    policy_file = configuration.api.policy_file or str(data / "policy.yaml")
    settings = msgspec.structs.replace(configuration.api, policy_file=policy_file)
    return build_app(
        database,
        settings,
        [cloud.images, passwords, configuration.compute, configuration.identity, configuration.image],
        [identity, image, compute],
        observers=observation.api_observers(),
        tracing=observation.traces,
    )


def _certificate(configuration: Configuration, data: Path, host: str) -> Certificate | None:
    if bool(configuration.tls_certificate) != bool(configuration.tls_key):
        raise Invalid("Give tls_certificate and tls_key together, or neither.")
    if configuration.tls_certificate:
        return Certificate(chain=Path(configuration.tls_certificate), key=Path(configuration.tls_key))
    return None if is_loopback(host) else own_certificate(data / "tls", host)


def _url(host: str, port: int, certificate: Certificate | None) -> str:
    scheme = "https" if certificate else "http"
    if host in ("0.0.0.0", "::"):  # noqa: S104 - asked for by the operator, and then served by TLS
        host = socket.gethostname()
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    """Hold the data directory. Raises Invalid when another process has it."""
    with (data / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Invalid(
                f"Another polyvisor is running on {data}: stop it first, or choose another directory with --data."
            ) from None
        yield
