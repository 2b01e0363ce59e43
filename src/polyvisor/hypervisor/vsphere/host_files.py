"""A datastore's file read from the ESXi host that holds it open: vCenter may ask another one, which cannot."""

import http.client
from urllib.parse import quote, urlencode

from pyVmomi import vim

from polyvisor.hypervisor.driver import HypervisorError, Unreachable
from polyvisor.hypervisor.vsphere.faults import translated
from polyvisor.hypervisor.vsphere.files import read_tail
from polyvisor.hypervisor.vsphere.guest_files import FilePath
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.hypervisor.vsphere.settings import HTTPS_PORT
from polyvisor.hypervisor.vsphere.tls import Trust

_DATACENTER = "ha-datacenter"
"""What every ESXi host calls its only datacenter."""


def tail_at_host(session: Session, host_name: str, path: FilePath, last_bytes: int) -> bytes:
    """The last bytes of a file, from an ESXi host of the vCenter, with a ticket that vCenter issues for one request.

    Source: SessionManager.AcquireGenericServiceTicket in the vSphere Web Services API reference. Raises
    HypervisorError, Unreachable.
    """
    where = urlencode({"dcPath": _DATACENTER, "dsName": path.datastore}, quote_via=quote)
    target = f"/folder/{quote(path.relative)}?{where}"
    spec = vim.SessionManager.HttpServiceRequestSpec(method="httpGet", url=f"https://{host_name}{target}")
    with translated(f"get leave to read from {host_name}"):
        ticket = session.content.sessionManager.AcquireGenericServiceTicket(spec)
    thumbprint = (ticket.sslThumbprint or "").replace(":", "").lower()
    trust = Trust(digest=thumbprint, setting="thumbprint of that ESXi host in vCenter") if thumbprint else session.trust
    connection = session.open(host_name, HTTPS_PORT, trust)
    try:
        headers = {"Cookie": f"vmware_cgi_ticket={ticket.id}", "Range": f"bytes=-{last_bytes}"}
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        if response.status >= 400:
            raise HypervisorError(f"{host_name} refuses to give {path.relative}: {response.status} {response.reason}.")
        return read_tail(response, last_bytes)
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"The ESXi host {host_name} does not answer: {error or type(error).__name__}.") from error
    finally:
        connection.close()
