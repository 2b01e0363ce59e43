"""`polyvisor.toml`: every setting of the program, with its default, and the hypervisors it serves."""

import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from polyvisor.api.agent.settings import AgentSettings
from polyvisor.api.identity.settings import IdentitySettings
from polyvisor.api.image.settings import ImageSettings
from polyvisor.api.kit.settings import ApiSettings
from polyvisor.model.errors import Invalid
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.record import Record
from polyvisor.model.settings import ComputeSettings, OperateSettings
from polyvisor.observe.settings import MetricsSettings, TracesSettings
from polyvisor.schedule.settings import ScheduleSettings


class HypervisorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One `[[hypervisor]]`: a connection to a libvirtd, a vCenter, an ESXi host, or a simulated estate."""

    name: str
    """The connection's name; for clusters it is a part of the host's name."""
    driver: str
    """"kvm", "vsphere" or "simulated"."""
    settings: dict[str, Any] = {}
    """All other keys of the table, as the driver's settings record reads them."""


class Configuration(Record):
    """The whole file."""

    listen: str = "127.0.0.1:5000"
    """Address and port of the API; a host other than loopback is served by TLS."""
    tls_certificate: str = ""
    """PEM file with the server's certificate and its chain; empty = one is made in the data directory when needed."""
    tls_key: str = ""
    """PEM file with the certificate's key."""
    region: str = "RegionOne"
    """The region's name in the catalogue."""
    database: str = ""
    """Address of the database: "postgresql://user@host:5432/name"; empty = SQLite under the data directory. The
    environment variable POLYVISOR_DATABASE goes before it."""
    database_password_file: str = ""
    """A file with the database's password alone, where the address has none."""
    database_connections: int = 32
    """How many connections to PostgreSQL a process opens at most; two more carry wake-ups."""
    log_level: str = "info"
    """"debug", "info", "warning" or "error"."""
    log_format: Literal["auto", "text", "json"] = "auto"
    """"text" (key=value), "json" (an object a line), or "auto" = for the eye on a terminal, else text."""
    log_levels: dict[str, str] = {}
    """Levels of single areas, such as { api = "warning", "hypervisor.vsphere" = "debug" }: the program's packages."""
    api: ApiSettings = ApiSettings()
    identity: IdentitySettings = IdentitySettings()
    image: ImageSettings = ImageSettings()
    compute: ComputeSettings = ComputeSettings()
    operate: OperateSettings = OperateSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    agents: AgentSettings = AgentSettings()
    metrics: MetricsSettings = MetricsSettings()
    traces: TracesSettings = TracesSettings()
    network: NetworkSettings = NetworkSettings()
    hypervisor: tuple[HypervisorSettings, ...] = ()


def read(path: Path) -> Configuration:
    """The configuration in a TOML file. Raises Invalid with a sentence that names the place of a mistake."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Invalid(f"The configuration {path} cannot be read: {error.strerror}.") from None
    return parse(text, str(path))


def parse(text: str, name: str = "polyvisor.toml") -> Configuration:
    """The configuration in a TOML text. Raises Invalid."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"{name} is not TOML: {error}.") from None
    tables = found.get("hypervisor", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise Invalid(f"{name}: write each hypervisor as a table of its own, [[hypervisor]].")
    found["hypervisor"] = [_hypervisor(table) for table in tables]
    try:
        configuration = msgspec.convert(found, Configuration)
    except msgspec.ValidationError as error:
        raise Invalid(f"{name}: {error}.") from None
    names = [each.name for each in configuration.hypervisor]
    for each in names:
        if names.count(each) > 1:
            raise Invalid(f"{name}: two hypervisors are named {each!r}; give each its own name.")
    return configuration


def _hypervisor(table: dict[str, Any]) -> dict[str, Any]:
    own: dict[str, Any] = {key: table[key] for key in ("name", "driver") if key in table}
    return {**own, "settings": {key: value for key, value in table.items() if key not in own}}


def listen_address(listen: str) -> tuple[str, int]:
    """Host and port of "HOST:PORT" or "[IPV6]:PORT". Raises Invalid."""
    host, colon, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise Invalid(f"{listen!r} is no address to listen on: write HOST:PORT, such as 127.0.0.1:5000.")
    return host, int(port)
