"""One process of the control plane: `polyvisor up` and `polyvisor serve` are this, with and without hypervisors."""

import logging
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from polyvisor.api.agent import authority as authorities
from polyvisor.api.agent.app import AgentApp
from polyvisor.api.app import build_app
from polyvisor.api.compute.service import service as compute
from polyvisor.api.identity.passwords import Passwords
from polyvisor.api.identity.service import service as identity
from polyvisor.api.image.service import service as image
from polyvisor.api.kit.edge import Edge
from polyvisor.api.network.service import service as network
from polyvisor.model.errors import Invalid
from polyvisor.model.record import Record
from polyvisor.observe.health import with_health
from polyvisor.serve.agents_http import AgentsListener, OwnCertificate, bind_agents, urls_and_names
from polyvisor.serve.alone import alone, alone_on
from polyvisor.serve.clock import clock_of
from polyvisor.serve.cloud import Cloud, utc_now
from polyvisor.serve.configuration import Configuration, listen_address
from polyvisor.serve.databases import ask_whether_it_is_there, open_cloud_database
from polyvisor.serve.first_start import prepare
from polyvisor.serve.http import HttpServer, bind, is_loopback
from polyvisor.serve.image_store import open_image_store
from polyvisor.serve.network import with_backend
from polyvisor.serve.observation import Observation, ObserveSettings
from polyvisor.serve.open_files import allow_many_open_files
from polyvisor.serve.readiness import checks
from polyvisor.serve.schema import bring_up_to_date, check_usable, look
from polyvisor.serve.tls import Certificate, own_certificate
from polyvisor.serve.watched import Watched
from polyvisor.store.database import Database

log = logging.getLogger(__name__)

SWITCH_SECONDS = 0.0002


class Ready(Record):
    """What a newly started process tells."""

    url: str
    data: Path
    database: str
    """Its address, without a password."""
    hypervisors: tuple[str, ...]
    metrics: str = ""
    """The address of /metrics; empty where there is no listener."""
    networks: str = ""
    """What keeps the networks, or why there are none."""
    agents: tuple[str, ...] = ()
    """Where agents reach it; empty where it serves none."""


def run(
    configuration: Configuration,
    data: Path,
    name: str,
    ready: Callable[[Ready], None],
    *,
    keep_endpoints: bool = False,
    upgrade: bool = True,
    start_networks: bool = False,
) -> bool:
    """Run until stopped by SIGINT or SIGTERM; whether every step that was under way has ended by then.

    `name`: the process's in the list of services; empty = the machine's. `keep_endpoints`: leave the catalogue's
    addresses as they are. `upgrade`: bring an older schema up to date first, instead of refusing to run on it.
    `start_networks`: use OVN of this machine, and start it where it does not run. Raises Invalid for what the operator
    has to change.
    """
    # A hypervisor's user may have to pass through DATA to its guests' disks: what lies beside them is ours alone.
    os.umask(0o077)
    allow_many_open_files()
    # Many threads with little to do each: handing the interpreter on sooner answers a fifth more requests at once.
    sys.setswitchinterval(SWITCH_SECONDS)
    data = data.absolute()
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with alone(data):
        host, port = listen_address(configuration.listen)
        sock = bind(host, port)
        port = sock.getsockname()[1]
        certificate = _certificate(configuration, data, host)
        url = configuration.api.public_url or _url(host, port, certificate)
        database = open_cloud_database(configuration, data, f"polyvisor {name or socket.gethostname()}")
        try:
            ask_whether_it_is_there(database)
            with alone_on(database):
                if upgrade or look(database).revision is None:
                    # Where others may be at work, nothing is taken away: that is the operator's to say.
                    bring_up_to_date(database, contract=database.is_sqlite)
                check_usable(look(database))
                database.connect_signals()
                networks = with_backend(configuration, data / "ovn" if start_networks else None)
                configuration = msgspec.structs.replace(configuration, network=networks.settings)
                passwords = Passwords(configuration.identity)
                cloud_id = prepare(
                    database,
                    data,
                    passwords,
                    url=url,
                    region=configuration.region,
                    authority=certificate.authority if certificate else None,
                    now=utc_now(),
                    keep_endpoints=keep_endpoints,
                    networks=configuration.network.backend != "none",
                    default_subnet_pool=configuration.network.default_subnet_pool,
                )
                process = _Process(configuration, data, database, passwords, cloud_id, name, certificate)
                with networks.kept():
                    return process.serve(sock, url, networks.told, ready)
        finally:
            database.close()
            sock.close()


class _Process:
    """The parts of one process, in the order in which they begin and end."""

    def __init__(
        self,
        configuration: Configuration,
        data: Path,
        database: Database,
        passwords: Passwords,
        cloud_id: str,
        name: str,
        certificate: Certificate | None,
    ) -> None:
        self._configuration, self._data, self._database = configuration, data, database
        self._clock = clock_of(database)
        self._certificate = certificate
        self._observation = Observation(
            ObserveSettings(metrics=configuration.metrics, traces=configuration.traces), "polyvisor-server", name
        )
        self._directory = Path(configuration.image.directory or data / "images").absolute()
        images = open_image_store(database, self._directory)
        self._cloud = Cloud(
            configuration,
            data,
            database,
            cloud_id,
            self._observation,
            images,
            name or socket.gethostname(),
            clock=self._clock,
        )
        self._app = self._build_app(passwords)
        self._observation.checks(checks(database))
        self._watched = Watched(lambda: self._observation.health.alive()[0] == 200)
        self._agent_urls: tuple[str, ...] = ()
        self._listener = self._agents() if configuration.agents.listen else None

    def serve(self, sock: socket.socket, url: str, networks: str, ready: Callable[[Ready], None]) -> bool:
        """Serve on `sock` until a signal comes; whether every step that was under way has ended by then.

        `networks`: what keeps them, to be told.
        """
        certificates = {"api": self._certificate.chain} if self._certificate else {}
        if self._listener is not None:
            certificates["agents"] = self._data / "agents-tls" / "server.pem"
        self._observation.files({"data": self._data, "images": self._directory}, certificates)
        told = Ready(
            url=url,
            data=self._data,
            database=self._database.url.render_as_string(hide_password=True),
            hypervisors=tuple(self._cloud.drivers),
            metrics=self._observation.start(self._data),
            agents=self._agent_urls,
            networks=networks,
        )
        server = HttpServer(
            with_health(self._app, self._observation.health),
            sock,
            self._certificate,
            lambda: self._up(told, ready),
            self._drain,
        )
        try:
            self._clock.start()
            self._cloud.start(self._agent_urls)
            if self._listener is not None:
                self._listener.start()
            server.serve_until_stopped()
        finally:
            ended = self._stop()
        return ended

    def _up(self, told: Ready, ready: Callable[[Ready], None]) -> None:
        ready(told)
        self._watched.begin(f"serves at {told.url}")

    def _drain(self) -> float:
        self._watched.end()
        return self._observation.drain(self._configuration.api.drain_seconds)

    def _stop(self) -> bool:
        if self._listener is not None:
            self._say_no_agents()
            self._listener.stop()
        ended = self._cloud.stop()
        self._app.close()
        self._clock.stop()
        self._observation.close()
        return ended

    def _say_no_agents(self) -> None:
        try:
            self._cloud.serve_agents(())
        except Exception as error:  # noqa: BLE001 - agents find out by themselves
            log.debug("agents could not be told that this server stops: %s", error)

    def _agents(self) -> AgentsListener:
        settings = self._configuration.agents
        sock, host, port = bind_agents(settings.listen)
        self._agent_urls, names = urls_and_names(settings.public_urls, host, port)
        authority = authorities.ensure(self._database, utc_now())
        app = AgentApp(self._database, self._cloud.gate, authority, self._cloud.images, settings, self._clock)
        certificate = OwnCertificate(authority, names, self._data / "agents-tls")
        return AgentsListener(app, sock, certificate, utc_now)

    def _build_app(self, passwords: Passwords) -> Edge:
        configuration = self._configuration
        policy_file = configuration.api.policy_file or str(self._data / "policy.yaml")
        settings = msgspec.structs.replace(configuration.api, policy_file=policy_file)
        return build_app(
            self._database,
            settings,
            [
                self._cloud.images,
                passwords,
                configuration.compute,
                configuration.identity,
                configuration.image,
                configuration.network,
            ],
            [identity, image, compute, *([] if configuration.network.backend == "none" else [network])],
            clock=self._clock,
            observers=self._observation.api_observers(),
            tracing=self._observation.traces,
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
