"""Makes a guest: its files first, its definition last, so that a guest that is defined is whole."""

from pathlib import Path
from typing import Any

from polyvisor.hypervisor import config_drive
from polyvisor.hypervisor.driver import GuestSpec, HypervisorError, ImageSource, Progress
from polyvisor.hypervisor.kvm import disks, domain_xml, guests, nics, power
from polyvisor.hypervisor.kvm.connection import Connection
from polyvisor.hypervisor.kvm.console import new_password
from polyvisor.hypervisor.kvm.domain_xml import Definition, GuestFiles
from polyvisor.hypervisor.kvm.host import Facts
from polyvisor.hypervisor.kvm.images import Images, qemu_format
from polyvisor.hypervisor.kvm.instance import Instance, Note
from polyvisor.hypervisor.kvm.machine import Machine, choose
from polyvisor.hypervisor.kvm.settings import KvmSettings
from polyvisor.hypervisor.kvm.switch import Switch
from polyvisor.hypervisor.kvm.xml import Element
from polyvisor.image.cache import CachedImage
from polyvisor.model.image_format import DiskFormat
from polyvisor.model.nic import Nic

_GIB = 1 << 30
_MIB = 1 << 20


class Builder:
    """Makes guests on one host."""

    def __init__(
        self, settings: KvmSettings, cloud_id: str, images: Images, connection: Connection, switch: Switch
    ) -> None:
        self._settings = settings
        self._switch = switch
        self._cloud_id = cloud_id
        self._images = images
        self._connection = connection

    def make(self, instance: Instance, spec: GuestSpec, facts: Facts, source: ImageSource, progress: Progress) -> None:
        """Make what is missing of the guest. What cannot be had is refused before anything is written."""
        self._machine(spec, facts)
        if spec.nics:
            self._switch.is_userspace()
        cached = None
        if spec.image is None:
            instance.begin(Note(spec=spec, host=facts.name))
        else:
            cached = self._take_image(instance, spec, facts, source, progress)
        progress(0.0, "disks")
        if not _is_installer(spec) and cached is not None:
            _overlay(instance, spec, cached)
        elif spec.root_gib:
            instance.make(instance.root, lambda path: disks.blank(path, spec.root_gib * _GIB))
        if spec.ephemeral_gib:
            windows = self._machine(spec, facts).windows  # Windows formats a disk itself, and could not read ext4
            instance.make(
                instance.ephemeral, lambda path: disks.ephemeral(path, spec.ephemeral_gib * _GIB, formatted=not windows)
            )
        _make_again(instance, spec)
        progress(1.0, "disks")
        definition = self._definition(instance, instance.note(), facts)
        self._connection.run(lambda link: _define_once(link, spec.server_id, definition))

    def take_over(
        self, instance: Instance, spec: GuestSpec, facts: Facts, source: ImageSource, progress: Progress
    ) -> None:
        """Define a guest on files that another host has made, on storage that both share, and call them this host's.

        Raises HypervisorError where they do not lie there, or another host has them in use.
        """
        self._machine(spec, facts)
        note = instance.note()
        if note is None or not (instance.root.exists() or note.base):
            raise HypervisorError(
                f"The disks of server {instance.server_id} are not in {instance.directory.parent}: the hosts do not "
                f"share that directory any more."
            )
        if note.base and not Path(note.base).exists():
            # The image cache need not be shared: this host has, or makes, its own copy.
            self._take_image(instance, spec, facts, source, progress)
        else:
            instance.begin(Note(spec=spec, base=note.base, base_format=note.base_format, host=facts.name))
        taken = instance.note()
        if taken is not None and taken.base and instance.root.exists() and not _is_installer(spec):
            # Each time, for a run before this one may have ended right here. QEMU's lock refuses a disk that is in use.
            disks.rebase(instance.root, Path(taken.base), taken.base_format)
        _make_again(instance, spec)
        definition = self._definition(instance, instance.note(), facts)
        self._connection.run(lambda link: _define_once(link, spec.server_id, definition))

    def renew(self, instance: Instance, facts: Facts) -> None:
        """End the guest where it runs, and define it anew from its note. Raises HypervisorError where there is none."""
        note = instance.note()
        if note is None:
            raise HypervisorError(f"There is no guest of server {instance.server_id} on this host.")
        _make_again(instance, note.spec)
        definition = self._definition(instance, note, facts)
        self._connection.run(lambda link: _redefine(link, instance.server_id, definition))

    def card(self, spec: GuestSpec, nic: Nic, facts: Facts) -> Element:
        """What plugs a card into the guest. Raises HypervisorError where the host has no bridge for it."""
        model = self._machine(spec, facts).vif_model
        return nics.build(nic, model, self._settings.integration_bridge, userspace=self._switch.is_userspace())

    def _machine(self, spec: GuestSpec, facts: Facts) -> Machine:
        properties = spec.image.properties if spec.image else {}
        machine = choose(properties, spec.extra_specs, self._settings, removable_boot=_is_installer(spec))
        if machine.uefi and not facts.offered.uefi:
            raise HypervisorError(
                "The image needs UEFI, and this host has no UEFI firmware; install the package ovmf there."
            )
        if machine.secure_boot and not facts.offered.secure_boot:
            raise HypervisorError(
                "The image needs secure boot, which this host's UEFI firmware does not have; install a newer ovmf "
                "there."
            )
        if spec.vcpus > facts.offered.largest_vcpus:
            raise HypervisorError(
                f"A guest has at most {facts.offered.largest_vcpus} vCPUs on this host; the flavor asks for "
                f"{spec.vcpus}."
            )
        return machine

    def _take_image(
        self, instance: Instance, spec: GuestSpec, facts: Facts, source: ImageSource, progress: Progress
    ) -> CachedImage:
        """Make the image ready, and note that this guest uses it, so that it stays in the cache."""
        assert spec.image is not None  # noqa: S101 - for the type checker; make() has looked

        def note(cached: CachedImage) -> None:
            _check_size(spec, cached)
            base, base_format = str(cached.path), qemu_format(cached)
            instance.begin(Note(spec=spec, base=base, base_format=base_format, host=facts.name))

        while True:
            self._images.ready(spec.image, facts.kind, source, progress)
            if taken := self._images.take(spec.image, facts.kind, note):  # else it was forgotten in this moment
                return taken

    def _definition(self, instance: Instance, note: Note | None, facts: Facts) -> str:
        if note is None:
            raise HypervisorError(
                f"The files of server {instance.server_id} were removed while it was made; make it again."
            )
        spec = note.spec
        files = GuestFiles(
            root=_if_there(instance.root),
            base="" if _is_installer(spec) else note.base,
            base_format=note.base_format,
            ephemeral=_if_there(instance.ephemeral),
            swap=_if_there(instance.swap),
            cdrom=note.base if _is_installer(spec) else "",
            config_drive=_if_there(instance.config_drive),
            console_log=str(instance.console_log),
            nvram=str(instance.nvram),
        )
        return domain_xml.build(
            Definition(
                spec=spec,
                machine=self._machine(spec, facts),
                files=files,
                cloud_id=self._cloud_id,
                virt_type=facts.finding.virt_type,
                architecture=facts.host.architecture,
                settings=self._settings,
                disk_cache=self._settings.disk_cache or disks.cache_mode(instance.directory),
                vnc_password=new_password(),
                userspace_switch=bool(spec.nics) and self._switch.is_userspace(),
            )
        )


def _is_installer(spec: GuestSpec) -> bool:
    """Whether the image is a CD-ROM to boot from, beside a root disk that is blank at first."""
    return spec.image is not None and spec.image.disk_format == DiskFormat.ISO


def _check_size(spec: GuestSpec, cached: CachedImage) -> None:
    if not _is_installer(spec) and 0 < spec.root_gib * _GIB < cached.virtual_size_bytes:
        needed = -(-cached.virtual_size_bytes // _GIB)
        raise HypervisorError(
            f"The image's disk needs {needed} GiB, and the flavor's root disk has {spec.root_gib} GiB; use a larger "
            f"flavor."
        )


def _overlay(instance: Instance, spec: GuestSpec, cached: CachedImage) -> None:
    size_bytes = spec.root_gib * _GIB or cached.virtual_size_bytes
    instance.make(instance.root, lambda path: disks.overlay(path, cached.path, qemu_format(cached), size_bytes))


def _make_again(instance: Instance, spec: GuestSpec) -> None:
    """The files that can be made at any time without a loss: swap space, config drive, the console's log."""
    if spec.swap_mib:
        instance.make(instance.swap, lambda path: disks.swap(path, spec.swap_mib * _MIB))
    if spec.config_drive:
        instance.make(instance.config_drive, lambda path: path.write_bytes(config_drive.build(spec)))
    # Made here, it belongs to us rather than to root's virtlogd, and can be read.
    instance.make(instance.console_log, lambda path: path.touch())


def _if_there(path: Any) -> str:
    return str(path) if path.exists() else ""


def _define_once(link: Any, server_id: str, definition: str) -> None:
    if guests.find(link, server_id) is None:
        link.defineXML(definition)


def _redefine(link: Any, server_id: str, definition: str) -> None:
    domain = guests.find(link, server_id)
    if domain is not None:
        power.off(domain)
    link.defineXML(definition)
