"""The shape that every format's check has."""

from typing import Protocol

from polyvisor.image.window import Window
from polyvisor.model.record import Record

HEAD_BYTES = (1 << 20) + (64 << 10)
"""How much of an image its first check may read: the longest VMDK descriptor ends within it."""

MAXIMUM_VIRTUAL_BYTES = 64 << 40
"""The largest disk that is believed: vSphere's largest is 62 TiB."""


class Facts(Record):
    """What a format's own structures say."""

    subformat: str | None = None
    properties: dict[str, str] = {}
    """Image properties that the bytes suggest, such as `vmware_adaptertype`."""
    memory_mib: int = 0
    """The memory of the machine that an OVA describes; 0 where nothing says."""
    disk: Window | None = None
    """Where in the image the disk lies, if it is not all of it."""


class Check(Protocol):
    """One format. Both methods raise ImageRefused."""

    def head(self, head: bytes) -> None:
        """Check the first bytes (HEAD_BYTES, or all there are)."""

    def whole(self, image: Window) -> Facts:
        """Check the finished image, whose head has passed."""
