"""Network cards: their part of a guest's definition, and plugging them into guests that are there already."""

import time
from typing import Any

from polyvisor.hypervisor.kvm.errors import is_missing, is_wrong_state
from polyvisor.hypervisor.kvm.xml import Element, dump, element, parse
from polyvisor.model.nic import Nic

_LET_GO_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 0.2
_OFF = ("csum", "tso4", "tso6", "ecn", "ufo")


def build(nic: Nic, model: str, bridge: str, *, userspace: bool) -> Element:
    """The `<interface>` of a card on the integration bridge. OVN knows the port by its id (`iface-id`).

    `userspace`: the bridge forwards in ovs-vswitchd, which hands on packets without the checksums that a guest leaves
    to its card, and which then nobody computes: such a guest computes them itself.
    """
    return element(
        "interface",
        None,
        element("mac", address=nic.mac_address),
        element("source", bridge=bridge),
        element("virtualport", None, element("parameters", interfaceid=nic.port_id), type="openvswitch"),
        element("target", dev=device_name(nic.port_id)),
        element("model", type=model),
        _without_offload() if userspace and model == "virtio" else None,
        element("mtu", size=nic.mtu),
        element("rom", enabled="no"),  # no guest boots from a network here; QEMU needs no boot ROM then
        type="bridge",
    )


def device_name(port_id: str) -> str:
    """The host's side of the card, by OpenStack's rule: 14 characters, as Linux allows at most 15."""
    return f"tap{port_id[:11]}"


def _without_offload() -> Element:
    return element(
        "driver",
        None,
        element("host", gso="off", mrg_rxbuf="off", **dict.fromkeys(_OFF, "off")),
        element("guest", **dict.fromkeys(_OFF, "off")),
        name="qemu",
    )


def attach(domain: Any, card: Element, port_id: str) -> None:
    """Plug the card into the definition and, where the guest runs, into the guest, unless it is there. Raises
    libvirtError."""
    import libvirt

    text = dump(card)
    if _find(domain, port_id, live=False) is None:
        domain.attachDeviceFlags(text, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    if domain.isActive() and _find(domain, port_id, live=True) is None:
        try:
            domain.attachDeviceFlags(text, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        except libvirt.libvirtError as error:
            if not is_wrong_state(error) or domain.isActive():  # it was turned off meanwhile: the definition has it
                raise


def detach(domain: Any, port_id: str) -> bool:
    """Take the card out of the definition and the guest; False while the guest has not let go of it. Raises
    libvirtError."""
    import libvirt

    _remove(domain, port_id, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    if not domain.isActive():
        return True
    _remove(domain, port_id, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    until = time.monotonic() + _LET_GO_SECONDS
    while domain.isActive() and _find(domain, port_id, live=True) is not None:
        if time.monotonic() > until:
            return False
        time.sleep(_LOOK_AGAIN_SECONDS)
    return True


def _remove(domain: Any, port_id: str, flag: int) -> None:
    """Ask for the card's removal from one of the two; a running guest is asked, and may take its time."""
    import libvirt

    live = flag == libvirt.VIR_DOMAIN_AFFECT_LIVE
    card = _find(domain, port_id, live=live)
    if card is None:
        return
    try:
        domain.detachDeviceFlags(dump(card), flag)
    except libvirt.libvirtError as error:
        gone = error.get_error_code() == libvirt.VIR_ERR_DEVICE_MISSING or is_missing(error)
        asked_before = live and error.get_error_code() == libvirt.VIR_ERR_OPERATION_FAILED
        turned_off = live and is_wrong_state(error) and not domain.isActive()
        if not (gone or asked_before or turned_off):
            raise


def _find(domain: Any, port_id: str, *, live: bool) -> Element | None:
    import libvirt

    document = parse(domain.XMLDesc(0 if live else libvirt.VIR_DOMAIN_XML_INACTIVE))
    for card in document.iterfind("devices/interface"):
        parameters = card.find("virtualport/parameters")
        if parameters is not None and parameters.get("interfaceid") == port_id:
            return card
    return None
