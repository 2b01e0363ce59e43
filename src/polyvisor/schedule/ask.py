"""A request, read once: what its flavor and image ask of a host."""

from collections.abc import Mapping

import msgspec
from msgspec import structs

from polyvisor.model.image import ImageRef
from polyvisor.model.image_format import ImageForm, form_of
from polyvisor.model.place import PlaceRequest
from polyvisor.schedule.requirement import Requirement
from polyvisor.schedule.traits import TraitsAsked, traits_asked

AGGREGATE_SPECS = "aggregate_instance_extra_specs:"
CAPABILITIES = "capabilities:"

_ARCHITECTURES = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64", "x86": "i686", "x86_32": "i686"}
_ARCHITECTURES |= {f"i{number}86": "i686" for number in range(3, 10)}


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What the filters and weighers look at."""

    request: PlaceRequest
    hypervisor_type: str | None = None
    """The kind of hypervisor that the image asks for; None = any, as images are converted."""
    architecture: str | None = None
    form: ImageForm | None = None
    """What the image's bytes are; None without an image."""
    disk_bytes: int
    """The room that the root and further disks need at most on a datastore."""
    traits: TraitsAsked
    aggregate_specs: dict[str, Requirement] = {}
    capabilities: dict[str, Requirement] = {}


def read(request: PlaceRequest) -> Ask:
    """Read a request. Raises ValueError with a sentence where an extra spec or image property makes no sense."""
    image = request.image
    properties: Mapping[str, str] = image.properties if image is not None else {}
    hypervisor_type = properties.get("img_hv_type") or properties.get("hypervisor_type") or None
    architecture = properties.get("hw_architecture") or properties.get("architecture") or None
    return Ask(
        request=request,
        hypervisor_type=hypervisor_type.strip().lower() if hypervisor_type else None,
        architecture=canonical_architecture(architecture) if architecture else None,
        form=_form(image) if image is not None else None,
        disk_bytes=max(request.disk_gib << 30, image.virtual_size_bytes if image is not None else 0),
        traits=traits_asked(request.extra_specs, properties),
        aggregate_specs=_requirements(request.extra_specs, AGGREGATE_SPECS),
        capabilities=_requirements(request.extra_specs, CAPABILITIES),
    )


def canonical_architecture(word: str) -> str:
    """An architecture in Glance's words: "amd64" is x86_64, "i386" is i686."""
    lower = word.strip().lower()
    return _ARCHITECTURES.get(lower, lower)


def _form(image: ImageRef) -> ImageForm:
    try:
        form = form_of(image.disk_format, image.container_format, image.properties)
    except ValueError:
        form_asked = f"{image.disk_format} in {image.container_format}"
        raise ValueError(f"The image's format {form_asked} is not one that servers run from.") from None
    # What inspection found of the bytes is surer than what a property says.
    return structs.replace(form, subformat=image.subformat) if image.subformat else form


def _requirements(extra_specs: Mapping[str, str], scope: str) -> dict[str, Requirement]:
    found = {}
    for key, text in extra_specs.items():
        if not key.startswith(scope):
            continue
        try:
            found[key.removeprefix(scope)] = Requirement(text)
        except ValueError as unreadable:
            raise ValueError(f"The flavor's {key} is {text!r}: {unreadable}.") from None
    return found
