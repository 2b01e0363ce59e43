"""Simulated disks on storage that the hosts of several connections reach: one file a guest, which says whose it is."""

import json
import uuid
from pathlib import Path

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.model.record import Record


class SimulatedDisk(Record):
    """What stands for a guest's disks."""

    host: str
    """Whose they are: nobody else starts on them, or removes them."""
    content: str
    """Random: it tells disks that were kept from disks that were made anew."""


class SimulatedStorage:
    """A directory of such disks."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory

    def find(self, server_id: str) -> SimulatedDisk | None:
        """The disks of a server; None where there are none."""
        try:
            return SimulatedDisk(**json.loads((self.directory / server_id).read_text()))
        except FileNotFoundError:
            return None

    def make(self, server_id: str, host: str) -> None:
        """Make them, unless they are there. Raises HypervisorError where they are another host's."""
        disk = self.find(server_id)
        if disk is None:
            self._write(server_id, SimulatedDisk(host=host, content=uuid.uuid4().hex))
        elif disk.host != host:
            raise HypervisorError(f"The disks of server {server_id} are {disk.host}'s.")

    def take(self, server_id: str, host: str) -> None:
        """They are this host's from now on. Raises HypervisorError where there are none."""
        disk = self.find(server_id)
        if disk is None:
            raise HypervisorError(f"The disks of server {server_id} are not on the shared storage.")
        self._write(server_id, SimulatedDisk(host=host, content=disk.content))

    def check(self, server_id: str, hosts: frozenset[str]) -> None:
        """Raise HypervisorError where they are none of these hosts', as QEMU's lock on a disk in use does."""
        disk = self.find(server_id)
        if disk is not None and disk.host not in hosts:
            raise HypervisorError(f"The disks of server {server_id} were taken over by {disk.host}.")

    def hand_over(self, server_id: str, host: str, to: str) -> None:
        """What is `host`'s is `to`'s from now on."""
        disk = self.find(server_id)
        if disk is not None and disk.host == host:
            self._write(server_id, SimulatedDisk(host=to, content=disk.content))

    def remove(self, server_id: str, hosts: frozenset[str]) -> None:
        """Remove them, where they are one of these hosts'."""
        disk = self.find(server_id)
        if disk is not None and disk.host in hosts:
            (self.directory / server_id).unlink(missing_ok=True)

    def _write(self, server_id: str, disk: SimulatedDisk) -> None:
        temporary = self.directory / f".{server_id}-{uuid.uuid4().hex}"
        temporary.write_text(json.dumps({"host": disk.host, "content": disk.content}))
        temporary.replace(self.directory / server_id)
