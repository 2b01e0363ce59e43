"""`polyvisor up`: start the cloud, and say what to type next."""

import logging
import os
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import msgspec

from polyvisor.model.errors import Invalid
from polyvisor.serve.configuration import Configuration, HypervisorSettings, read
from polyvisor.serve.logs import log_to_stderr
from polyvisor.serve.up import Ready, up

_DEFAULT_DATA = Path("polyvisor-data")
_PASSWORD = "POLYVISOR_VCENTER_PASSWORD"  # noqa: S105 - the name of a variable


@click.command("up")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=_DEFAULT_DATA,
    show_default=True,
    help="Directory of the database, images, guests and clouds.yaml.",
)
@click.option("--listen", metavar="HOST:PORT", help="Address of the API  [default: 127.0.0.1:5000].")
@click.option(
    "--config", type=click.Path(path_type=Path), help="A polyvisor.toml; DATA/polyvisor.toml is read where it exists."
)
@click.option("--simulated", type=click.IntRange(min=1), metavar="N", help="Add N simulated hosts.")
@click.option("--kvm", metavar="URI", help="Add the KVM host behind a libvirt URI, such as qemu:///system.")
@click.option(
    "--vcenter",
    metavar="URL",
    help="Add a vCenter or an ESXi host: https://USER@HOST. Its password is read from POLYVISOR_VCENTER_PASSWORD.",
)
@click.option(
    "--vcenter-thumbprint",
    metavar="SHA",
    help="The SHA-256 or SHA-1 thumbprint of the vCenter's certificate, where no known authority has signed it.",
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="How much to log  [default: info]."
)
def command(
    data: Path,
    listen: str | None,
    config: Path | None,
    simulated: int | None,
    kvm: str | None,
    vcenter: str | None,
    vcenter_thumbprint: str | None,
    log_level: str | None,
) -> None:
    """Run the whole cloud in one process, on SQLite under --data. Ctrl-C stops it.

    With a KVM host and as root it also starts OVN and Open vSwitch, where the machine runs none: `polyvisor network`
    shows and stops them.
    """
    configuration = _configuration(data, config)
    added = [
        *configuration.hypervisor,
        *([_simulated(simulated)] if simulated else []),
        *([HypervisorSettings(name="kvm", driver="kvm", settings={"uri": kvm})] if kvm else []),
        *([_vcenter(vcenter, vcenter_thumbprint)] if vcenter else []),
    ]
    configuration = msgspec.structs.replace(
        configuration,
        hypervisor=tuple(added),
        listen=listen or configuration.listen,
        log_level=log_level or configuration.log_level,
    )
    log_to_stderr(configuration.log_level, configuration.log_format, configuration.log_levels)
    logging.captureWarnings(True)
    if not up(configuration, data, _greet):
        # A step still waits for its hypervisor. The next start does it again, so nobody has to wait for it here.
        logging.shutdown()
        os._exit(0)


def _configuration(data: Path, config: Path | None) -> Configuration:
    if config is not None:
        return read(config)
    usual = data / "polyvisor.toml"
    return read(usual) if usual.exists() else Configuration()


def _simulated(hosts: int) -> HypervisorSettings:
    return HypervisorSettings(name="simulated", driver="simulated", settings={"hosts": hosts})


def _vcenter(url: str, thumbprint: str | None) -> HypervisorSettings:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or not parts.username:
        raise Invalid(
            "Write the vCenter's address as https://USER@HOST, such as https://polyvisor%40vsphere.local@vcenter."
        )
    if parts.password:
        raise Invalid(
            "A password in an address shows in the process list: give it in POLYVISOR_VCENTER_PASSWORD instead."
        )
    host = parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"
    password = os.environ.get(_PASSWORD)
    if not password:
        raise Invalid(f"Give the password of {unquote(parts.username)} at {host} in the environment: {_PASSWORD}.")
    settings = {"host": host, "user": unquote(parts.username), "password": password}
    if thumbprint:
        settings["thumbprint"] = thumbprint
    return HypervisorSettings(name=parts.hostname, driver="vsphere", settings=settings)


def _greet(ready: Ready) -> None:
    served = (
        ", ".join(ready.hypervisors) or "none yet: add one with --kvm, --vcenter, --simulated, or in polyvisor.toml"
    )
    clouds = ready.data / "clouds.yaml"
    agents = f"Agents: {', '.join(ready.agents)}\n" if ready.agents else ""
    click.echo(
        f"Polyvisor is up at {ready.url}\n"
        f"Hypervisor connections: {served}\n"
        f"Networks: {ready.networks}\n"
        f"{agents}"
        f"Metrics: {ready.metrics or 'none'}\n\n"
        f"Type next, in another terminal:\n"
        f"  export OS_CLIENT_CONFIG_FILE={clouds}\n"
        f"  openstack --os-cloud polyvisor-admin hypervisor list\n"
        f"  openstack --os-cloud polyvisor flavor list\n\n"
        f"Ctrl-C stops it; servers run on, and the next `polyvisor up` goes on from here.",
    )
    sys.stdout.flush()
