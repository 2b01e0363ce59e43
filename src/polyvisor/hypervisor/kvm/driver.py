"""The KVM driver: the Protocol of `hypervisor/driver.py` on one libvirtd, beside which it runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from polyvisor.hypervisor.driver import Console, GuestSpec, HypervisorError, ImageSource, Progress
from polyvisor.hypervisor.kvm import console, guests, nics
from polyvisor.hypervisor.kvm import power as transitions
from polyvisor.hypervisor.kvm.build import Builder
from polyvisor.hypervisor.kvm.connection import Connection
from polyvisor.hypervisor.kvm.errors import on_files
from polyvisor.hypervisor.kvm.host import Facts, HostReader
from polyvisor.hypervisor.kvm.images import Images
from polyvisor.hypervisor.kvm.instance import Instance, make_passable
from polyvisor.hypervisor.kvm.settings import KvmSettings
from polyvisor.hypervisor.kvm.switch import Switch
from polyvisor.hypervisor.kvm.trial import Trial
from polyvisor.hypervisor.kvm.watcher import Watcher
from polyvisor.model.guest import GuestReport
from polyvisor.model.host import HostReport
from polyvisor.model.image import ImageRef
from polyvisor.model.nic import Nic
from polyvisor.model.power import Power

T = TypeVar("T")

_LONG_WAIT_SECONDS = 20.0
"""How long set_power waits for what may take minutes: writing a guest's memory to disk, and reading it back."""


class KvmDriver:
    """One KVM host. See the Protocol for what each method promises."""

    def __init__(self, place: str, settings: KvmSettings, cloud_id: str, state_dir: Path) -> None:
        self.place = place
        self._settings = settings
        self._cloud_id = cloud_id
        state_dir = state_dir.absolute()
        self._instances = Path(settings.instances_path or state_dir / "instances").absolute()
        image_cache = Path(settings.image_cache_path or state_dir / "image-cache").absolute()
        directories = (self._instances, image_cache, state_dir)
        for directory in directories:
            make_passable(directory)
        self._connection = Connection(place, settings.uri, timeout_seconds=settings.timeout_seconds)
        # What takes long has a limit, and links, of its own.
        self._slow = Connection(place, settings.uri, timeout_seconds=settings.start_timeout_seconds)
        switch = Switch(place, settings)
        self._host = HostReader(self._connection, settings, Trial(self._slow, settings, state_dir), directories, switch)
        self._images = Images(image_cache, self._instances)
        self._builder = Builder(settings, cloud_id, self._images, self._slow, switch)
        self._watchers: list[Watcher] = []

    def close(self) -> None:
        """End threads and connections; guests run on."""
        for watcher in self._watchers:
            watcher.stop()
        self._connection.close()
        self._slow.close()

    def hosts(self) -> list[HostReport]:
        """The one host of this libvirtd. The first call tries whether KVM works, which may take a minute."""
        with on_files("look into its directories"):
            return [self._host.report(self._images.cached())]

    def guests(self) -> list[GuestReport]:
        """Every guest that libvirt knows, those of others without a server id."""
        host = self._host.facts().name
        return self._connection.run(lambda link: guests.sweep(link, host, self._cloud_id))

    def look(self, server_id: str) -> GuestReport | None:
        """One guest, read afresh."""
        host = self._host.facts().name
        return self._connection.run(lambda link: guests.look(link, host, self._cloud_id, server_id))

    def watch(self, changed: Callable[[str], None]) -> None:
        """Tell of changes by libvirt's events; after libvirtd was away, of every guest."""
        watcher = Watcher(self._connection, self._server_ids, self._has_files, changed)
        self._watchers.append(watcher)
        watcher.start()

    def prepare_image(self, host: str, image: ImageRef, source: ImageSource, progress: Progress) -> str:
        """Fetch, convert and cache the image, once; a KVM host has but one datastore, so "" is returned."""
        self._check_host(host)
        self._images.ready(image, self._host.facts().kind, source, progress)
        return ""

    def forget_images(self, host: str, keep: frozenset[str]) -> list[str]:
        """Remove cached images that no guest's disk is based on and that are not in `keep`."""
        self._check_host(host)
        with on_files("remove cached images"):
            return self._images.forget(keep)

    def create(self, host: str, datastore: str, spec: GuestSpec, source: ImageSource, progress: Progress) -> None:
        """Make the files, then define the guest: where it is defined, all that it needs is there."""
        facts = self._check_host(host)
        instance = Instance(self._instances, spec.server_id)
        if self._owner(spec.server_id) not in (None, self._cloud_id):
            raise HypervisorError(
                f"A guest with the id {spec.server_id} is there already, and this cloud did not make it; remove it "
                f"first."
            )
        with on_files("make the guest's files"):
            instance.check_belongs_to(facts.name)
            self._builder.make(instance, spec, facts, source, progress)

    def take_over(self, host: str, spec: GuestSpec, source: ImageSource, progress: Progress) -> None:
        """Define the guest on files that lie in the instances directory, which other hosts share."""
        facts = self._check_host(host)
        if self._owner(spec.server_id) not in (None, self._cloud_id):
            raise HypervisorError(f"A guest with the id {spec.server_id} is there already, and is not this cloud's.")
        with on_files("take over the guest's files"):
            self._builder.take_over(Instance(self._instances, spec.server_id), spec, facts, source, progress)

    def let_go(self, server_id: str, to: str) -> None:
        """End the guest and forget it; its files stay where they are, and are another host's."""
        mine = self._owner(server_id)
        if mine not in (None, self._cloud_id):
            raise HypervisorError(f"This cloud did not make the guest {server_id}; it is left alone.")
        if mine is not None:
            self._slow.run(lambda link: self._undefine(link, server_id, keep_files=True))
        with on_files("hand over the guest's files"):
            Instance(self._instances, server_id).hand_over(self._host.facts().name, to)

    def destroy(self, server_id: str) -> None:
        """End the guest, forget it, remove its directory."""
        instance = Instance(self._instances, server_id)
        mine = self._owner(server_id)
        if mine not in (None, self._cloud_id):
            if instance.exists():
                raise HypervisorError(
                    f"The guest {server_id} was defined anew by someone else on the files of our server; remove it "
                    f"in libvirt, then delete the server again."
                )
            return
        with on_files("look whose the guest's files are"):
            own = instance.belongs_to(self._host.facts().name)
        if mine is not None:
            self._slow.run(lambda link: self._undefine(link, server_id, keep_files=not own))
        if own:  # else a host that shares the storage runs the server on them
            with on_files("remove the guest's files"):
                instance.remove()

    def set_power(self, server_id: str, power: Power) -> None:
        """Change the power; saving and restoring a large memory go on in libvirt after this has returned."""
        if power is Power.ON:
            with on_files("look whose the guest's files are"):
                Instance(self._instances, server_id).check_belongs_to(self._host.facts().name)
        self._on_guest_slowly(server_id, lambda domain: transitions.change(domain, power))

    def shut_down(self, server_id: str) -> None:
        """Ask by the guest agent or ACPI; a guest that is off already is fine."""
        self._on_guest(server_id, transitions.shut_down)

    def restart(self, server_id: str) -> None:
        """Ask by the guest agent or ACPI; libvirt starts the guest again when it has gone down."""
        self._on_guest(server_id, transitions.restart)

    def reset(self, server_id: str) -> None:
        """End the guest, define it anew from what it was made of, start it. What is missing of its files is made
        again."""
        instance = Instance(self._instances, server_id)
        if self._owner(server_id) not in (None, self._cloud_id):
            raise HypervisorError(f"This cloud did not make the guest {server_id}; it is left alone.")
        facts = self._host.facts()
        with on_files("make the guest's files"):
            instance.check_belongs_to(facts.name)
            self._builder.renew(instance, facts)
        self._on_guest_slowly(server_id, lambda domain: transitions.change(domain, Power.ON))

    def attach_nic(self, server_id: str, nic: Nic) -> None:
        """Note the card, so that every later definition has it; then plug it in."""
        self._on_guest(server_id, lambda _domain: None)
        facts, instance = self._host.facts(), Instance(self._instances, server_id)
        with on_files("note the guest's network card"):
            instance.check_belongs_to(facts.name)
            note = instance.note()
            if note is None:
                raise HypervisorError(f"The files of server {server_id} are not on this host any more.")
            card = self._builder.card(note.spec, nic, facts)
            kept = tuple(each for each in note.spec.nics if each.port_id != nic.port_id)
            instance.note_nics((*kept, nic))
        self._connection.run(lambda link: nics.attach(self._mine(link, server_id), card, nic.port_id))

    def detach_nic(self, server_id: str, port_id: str) -> bool:
        """Strike the card off the note, then take it out; a running guest has some seconds to let go of it."""
        self._on_guest(server_id, lambda _domain: None)
        instance = Instance(self._instances, server_id)
        with on_files("note the guest's network cards"):
            note = instance.note()
            if note is not None:
                instance.note_nics(tuple(each for each in note.spec.nics if each.port_id != port_id))
        return self._connection.run(lambda link: nics.detach(self._mine(link, server_id), port_id))

    def console_log(self, server_id: str) -> bytes:
        """The last MiB of the serial console's log."""
        with on_files("read the console log"):
            return console.read_log(Instance(self._instances, server_id))

    def console(self, server_id: str) -> Console:
        """Where the guest's VNC answers."""
        return self._on_guest(server_id, lambda domain: console.where(domain, self._settings))

    def _check_host(self, host: str) -> Facts:
        facts = self._host.facts()
        if host != facts.name:
            raise HypervisorError(
                f"{self.place} serves the host {facts.name}, not {host}; its hostname may have been changed."
            )
        return facts

    def _owner(self, server_id: str) -> str | None:
        """The cloud whose guest this is; None where there is none; "?" for a guest that no cloud made."""

        def read(link: Any) -> str | None:
            domain = guests.find(link, server_id)
            if domain is None:
                return None
            # It may have gone while we asked whose it is.
            return guests.owner(domain) or ("?" if guests.find(link, server_id) else None)

        return self._connection.run(read)

    def _on_guest(self, server_id: str, act: Callable[[Any], T]) -> T:
        return self._connection.run(lambda link: act(self._mine(link, server_id)))

    def _on_guest_slowly(self, server_id: str, act: Callable[[Any], None]) -> None:
        """`act` on our guest; it may go on in libvirt after this has returned."""
        self._slow.start(lambda link: act(self._mine(link, server_id)), wait_seconds=_LONG_WAIT_SECONDS)

    def _mine(self, link: Any, server_id: str) -> Any:
        domain = guests.find(link, server_id)
        if domain is None or guests.owner(domain) != self._cloud_id:
            raise HypervisorError(f"There is no guest of server {server_id} on this host.")
        return domain

    def _undefine(self, link: Any, server_id: str, *, keep_files: bool) -> None:
        domain = guests.find(link, server_id)
        if domain is not None:
            transitions.undefine(domain, keep_files=keep_files)

    def _server_ids(self) -> set[str]:
        return {guest.server_id for guest in self.guests() if guest.server_id}

    def _has_files(self, server_id: str) -> bool:
        return Instance(self._instances, server_id).exists()
