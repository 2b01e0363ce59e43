"""What segments a network may be made of, by the settings of the site."""

from collections.abc import Iterator
from typing import NoReturn

from polyvisor.model.errors import Invalid
from polyvisor.model.network import NetworkType, SegmentRef
from polyvisor.model.network_settings import NetworkSettings, PhysicalNetwork

GENEVE_BYTES = 58
"""What geneve takes of each packet of the network below, with IPv6 outside."""
MOST_VLAN = 4094
MOST_TUNNEL = 16_777_215
LEAST_MTU = {4: 68, 6: 1280}
"""By version of IP: the smallest packets that carry it whole (RFC 791, RFC 8200)."""
Range = tuple[int, int]


def _refuse(sentence: str) -> NoReturn:
    raise Invalid(f"Invalid input for operation: {sentence}", kind="InvalidInput")


def checked(wanted: SegmentRef, settings: NetworkSettings) -> None:
    """Raise Invalid where the site cannot have such a segment."""
    kind, number = wanted.network_type, wanted.segmentation_id
    if kind is NetworkType.GENEVE:
        if wanted.physical_network is not None:
            _refuse("provider:physical_network specified for geneve network: leave it out.")
        if number is not None and not 1 <= number <= MOST_TUNNEL:
            _refuse(f"segmentation_id out of range (1 through {MOST_TUNNEL}).")
        return
    physical = _physical(wanted, settings)
    if kind is NetworkType.FLAT:
        if number is not None:
            _refuse("segmentation_id specified for flat network: leave it out, or ask for a vlan network.")
        if not physical.flat:
            _refuse(f"physical network '{physical.name}' takes no flat networks: ask for a vlan network.")
    elif number is not None and not 1 <= number <= MOST_VLAN:
        _refuse(f"segmentation_id out of range (1 through {MOST_VLAN}).")


def _physical(wanted: SegmentRef, settings: NetworkSettings) -> PhysicalNetwork:
    if wanted.physical_network is None:
        _refuse(f"physical_network required for {wanted.network_type} provider network.")
    for each in settings.physical:
        if each.name == wanted.physical_network:
            return each
    known = ", ".join(each.name for each in settings.physical) or "none"
    _refuse(
        f"physical_network '{wanted.physical_network}' unknown for {wanted.network_type} provider network "
        f"(known here: {known})."
    )


def room(wanted: SegmentRef, settings: NetworkSettings) -> list[Range]:
    """The numbers that a segment without one may get."""
    if wanted.network_type is NetworkType.GENEVE:
        return [_range(settings.geneve_ids)]
    found = [each.vlans for each in settings.physical if each.name == wanted.physical_network]
    return [_range(text) for vlans in found for text in vlans]


def for_projects(settings: NetworkSettings) -> Iterator[SegmentRef]:
    """The kinds of segments that projects' networks are made of, in the order in which they are tried."""
    for kind in settings.tenant_network_types:
        if kind == "geneve":
            yield SegmentRef(network_type=NetworkType.GENEVE)
        else:
            for each in settings.physical:
                if each.vlans:
                    yield SegmentRef(network_type=NetworkType.VLAN, physical_network=each.name)


def largest_mtu(segments: tuple[SegmentRef, ...], settings: NetworkSettings) -> int:
    """The largest IP packet, in bytes, that all of the segments carry."""
    sizes = {each.name: each.mtu for each in settings.physical}
    return min(
        settings.overlay_mtu - GENEVE_BYTES
        if each.network_type is NetworkType.GENEVE
        else sizes.get(each.physical_network or "", settings.overlay_mtu)
        for each in segments
    )


def _range(text: str) -> Range:
    first, _, last = text.partition(":")
    return int(first), int(last or first)
