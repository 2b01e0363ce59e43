"""The guest's metadata and user data as guestinfo keys, which cloud-init's VMware datasource and cloudbase-init read.

Sources: cloud-init's documentation of its VMware datasource ("guestinfo transport"), and the OpenStack metadata format.
"""

import base64
import binascii
import gzip
import json
from typing import Any

from polyvisor.hypervisor.driver import GuestSpec, HypervisorError
from polyvisor.hypervisor.vsphere.guest_network import network_config

_META_DATA = "openstack/latest/meta_data.json"
_VENDOR_DATA = "openstack/latest/vendor_data.json"
_ENCODING = "gzip+base64"


def guestinfo(spec: GuestSpec) -> dict[str, str]:
    """extraConfig keys and values: the same data as on the config drive.

    The metadata is OpenStack's, with the keys that cloud-init asks for beside them; it takes `public_keys` as it is.
    Without network cards nothing is said of the network: cloud-init then tries DHCP on what it finds.
    """
    metadata: dict[str, Any] = json.loads(spec.metadata.get(_META_DATA, "{}"))
    metadata |= {"instance-id": spec.server_id, "local-hostname": spec.hostname}
    if spec.nics:
        metadata["network"] = network_config(spec.nics)
    found = _packed("metadata", json.dumps(metadata, sort_keys=True).encode())
    if spec.user_data:
        try:
            found |= _packed("userdata", base64.b64decode(spec.user_data, validate=True))
        except binascii.Error:
            raise HypervisorError(
                "The user data is not valid base64; encode it again and repeat the request."
            ) from None
    vendor_data = json.loads(spec.metadata.get(_VENDOR_DATA, "{}"))
    if isinstance(vendor_data, dict) and isinstance(vendor_data.get("cloud-init"), str):
        found |= _packed("vendordata", vendor_data["cloud-init"].encode())
    return found


def _packed(key: str, data: bytes) -> dict[str, str]:
    packed = base64.b64encode(gzip.compress(data, mtime=0)).decode()
    return {f"guestinfo.{key}": packed, f"guestinfo.{key}.encoding": _ENCODING}
