"""What can go wrong with an image's bytes; no sentence names a path of the server."""

from polyvisor.model.errors import Invalid, NotFound, PolyvisorError, TooLarge


class ImageRefused(Invalid):
    """The bytes are not what was declared, point outside themselves, or are damaged (400)."""


class ImageTooLarge(TooLarge):
    """The upload is larger than the limit given for it (413)."""


class NoRoom(TooLarge):
    """The backend's disk is full; nothing of the upload is left (413, as the Image API says it)."""


class ImageBytesMissing(NotFound):
    """The backend holds no bytes under this image id (404)."""


class ImageBytesDamaged(PolyvisorError):
    """Bytes that were fetched are not those that were stored."""


class ConversionFailed(PolyvisorError):
    """An image that passed inspection could not be converted; the sentence says why."""


class ConversionCancelled(ConversionFailed):
    """The caller asked for the conversion to stop; nothing of it is left."""
