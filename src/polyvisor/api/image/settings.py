"""Settings of the Image service."""

from polyvisor.model.record import Record


class ImageSettings(Record):
    """How large images may be, and how much may be said of each."""

    directory: str = ""
    """Where the images' bytes lie; empty = DATA/images. Servers on several machines need one that they share, by NFS or
    a cluster file system."""
    max_size_bytes: int = 1 << 40
    """The largest image that may be uploaded, in bytes; larger ones are refused with 413."""
    keep_free_bytes: int = 256 << 20
    """How much room uploads leave on the disk of the images, for what else needs some: an upload that would take of it
    is refused with 413."""
    max_properties: int = 128
    """How many properties of its own an image may have."""
    max_tags: int = 128
    """How many tags an image may have."""
    max_members: int = 128
    """How many projects an image may be shared with."""
    upload_silence_seconds: float = 300.0
    """How long the process that takes an upload may give no sign of life before another one declares it dead."""
