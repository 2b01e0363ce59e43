"""The settings of one vSphere connection; kept free of pyVmomi, so that reading a configuration stays cheap."""

import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from polyvisor.model.record import Record

HTTPS_PORT = 443


class VsphereSettings(Record):
    """One `[[hypervisor]]` of kind "vsphere": a vCenter Server, or one ESXi host without vCenter."""

    host: str
    """The vCenter's or ESXi host's name or address, with or without port ("vc.example.com:8443"), or its URL."""
    user: str = "administrator@vsphere.local"
    """The user to log in as; the how-to names the privileges it needs."""
    password: str = ""
    """The user's password. Better kept out of the configuration: see `password_file`."""
    password_file: str = ""
    """A file whose first line is the password; read anew at each login, so a changed password needs no restart."""
    ca_file: str = ""
    """A PEM file with the authority that signed the server's certificate; empty = the system's authorities."""
    thumbprint: str = ""
    """The SHA-256 (or SHA-1) of the server's certificate in hex, with or without colons: this one alone is trusted."""
    insecure: bool = False
    """Do not check the server's certificate at all. For laboratories."""
    clusters: tuple[str, ...] = ()
    """The clusters to serve, by name or by inventory path ("DC0/host/Cluster"); empty = all of this vCenter."""
    datastore_regex: str = ".*"
    """Which datastores may hold servers and images: the regular expression must match the whole name."""
    folder: str = "polyvisor"
    """The VM folder, directly below each datacenter's, that holds a folder for each project."""
    image_cache_folder: str = "polyvisor-images"
    """The folder at the root of each datastore that holds the images cached there."""
    disk_provisioning: str = "thin"
    """How disks are laid out where the image's `vmware_disktype` does not say: "thin", "thick" or
    "eagerZeroedThick"."""
    switches: dict[str, str | tuple[str, ...]] = {}
    """Which distributed switch carries each physical network, by name or inventory path: { physnet1 = "DSwitch" };
    several in a list, where clusters have their own. For an ESXi host without vCenter, its standard switches."""
    port_groups: dict[str, str] = {}
    """Existing port groups that networks use instead of one made for them, by the network's id or name:
    { public = "VLAN 120" }. One given by a network's name is used only where its VLAN and switch are the network's."""
    security_groups: Literal["open", "strict", "off"] = "open"
    """How security groups hold on distributed switches, whose filter knows no connections: "open" lets replies in to
    ports from 32768 on; "strict" refuses servers whose groups are stateful; "off" filters nothing."""
    connect_timeout_seconds: float = 10
    """How long a connection and its TLS handshake may take before the server counts as unreachable."""
    timeout_seconds: float = 60
    """How long the server may be silent in an answer."""
    task_stall_seconds: float = 1800
    """A vCenter task that makes no progress for so long is given up; a task that progresses may take any time."""
    upload_timeout_seconds: float = 600
    """How long an ESXi host may be silent at the end of an image's upload, while it writes the disk."""

    def __repr__(self) -> str:
        """Without the password."""
        return f"VsphereSettings(host={self.host!r}, user={self.user!r})"

    def __post_init__(self) -> None:
        """Refuse what cannot work. Raises ValueError with a sentence."""
        if not self.endpoint[0]:
            raise ValueError("A vSphere hypervisor needs `host`: the vCenter's or ESXi host's name or address.")
        if not (self.password or self.password_file):
            raise ValueError(f"The vSphere hypervisor {self.host} needs a `password_file` (or `password`).")
        if sum((bool(self.ca_file), bool(self.thumbprint), self.insecure)) > 1:
            raise ValueError(
                "Give one of `ca_file`, `thumbprint` and `insecure`: each says how the certificate is checked."
            )
        if self.thumbprint and len(self.digest) not in (40, 64):
            raise ValueError(
                "`thumbprint` must be the SHA-256 (64 hex digits) or SHA-1 (40 hex digits) of the certificate."
            )
        if self.disk_provisioning not in ("thin", "thick", "eagerZeroedThick"):
            raise ValueError('`disk_provisioning` must be "thin", "thick" or "eagerZeroedThick".')
        empty = [name for name in self.switches if not name or not all(self.switch_titles(name) or [""])]
        if empty:
            raise ValueError(
                f"`switches` names no switch for the physical network {empty[0]!r}: name one, or take the entry out."
            )
        try:
            re.compile(self.datastore_regex)
        except re.error as error:
            raise ValueError(
                f"`datastore_regex` {self.datastore_regex!r} is no regular expression: {error}."
            ) from error

    @property
    def endpoint(self) -> tuple[str, int]:
        """Host name and port."""
        parts = urlsplit(self.host if "//" in self.host else f"//{self.host}")
        return parts.hostname or "", parts.port or HTTPS_PORT

    def switch_titles(self, physical_network: str) -> tuple[str, ...]:
        """The names or paths of the switches that carry a physical network; none where it is not mapped."""
        titles = self.switches.get(physical_network, ())
        return (titles,) if isinstance(titles, str) else titles

    @property
    def digest(self) -> str:
        """The thumbprint as lower-case hex without separators."""
        return re.sub(r"[^0-9a-f]", "", self.thumbprint.lower())

    def secret(self) -> str:
        """The password, from where it is kept. Raises OSError."""
        if self.password_file:
            return (Path(self.password_file).read_text().splitlines() or [""])[0]
        return self.password
