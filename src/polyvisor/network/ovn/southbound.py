"""The chassis, read from OVN's southbound database, which nobody but OVN writes."""

import uuid
from collections.abc import Mapping

from polyvisor.network.ovn.row import Value
from polyvisor.network.ovn.site import Chassis

COLUMNS = {"Chassis": ["name", "hostname", "external_ids", "other_config"]}
GATEWAY_OPTION = "enable-chassis-as-gw"


class ChassisCopy:
    """Told of each chassis that is new, changed or gone."""

    def __init__(self) -> None:
        self._chassis: dict[uuid.UUID, Chassis] = {}

    def put(self, _table: str, id: uuid.UUID, columns: Mapping[str, Value] | None) -> None:
        """A chassis is so from now on; None: it is no longer."""
        if columns is None:
            self._chassis.pop(id, None)
        else:
            self._chassis[id] = chassis(columns)

    def clear(self) -> None:
        """All are told of anew."""
        self._chassis.clear()

    def all(self) -> tuple[Chassis, ...]:
        """In the order of their names."""
        return tuple(sorted(self._chassis.values(), key=lambda each: each.name))


def chassis(columns: Mapping[str, Value]) -> Chassis:
    """What a row says; newer chassis keep their settings in other_config, older ones in external_ids."""
    settings = {**columns["external_ids"], **columns["other_config"]}
    options = {option.strip() for option in settings.get("ovn-cms-options", "").split(",")}
    return Chassis(
        name=columns["name"],
        hostname=columns["hostname"],
        physical_networks=_mapped(settings, "ovn-bridge-mappings"),
        addressed=_mapped(settings, "ovn-chassis-mac-mappings"),
        gateway=GATEWAY_OPTION in options,
    )


def _mapped(settings: Mapping[str, str], key: str) -> frozenset[str]:
    """The physical networks that a setting names: "physnet1:br-ex,physnet2:br-two"."""
    found = (each.strip().partition(":") for each in settings.get(key, "").split(","))
    return frozenset(name for name, _, _ in found if name)
