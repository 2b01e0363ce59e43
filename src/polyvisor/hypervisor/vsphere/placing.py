"""Which ESXi host of a cluster is named where vSphere wants one named; DRS may choose another when a VM is powered
on."""

from typing import Any

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.vsphere.cluster import EsxiHost
from polyvisor.hypervisor.vsphere.datastore import Store


def roomiest(hosts: list[EsxiHost], store: Store) -> Any:
    """The ESXi host in service that reaches the datastore and has the most memory free. Raises HypervisorError."""
    reaching = [host for host in hosts if host.reference._moId in store.hosts]
    if not reaching:
        raise HypervisorError(f"No ESXi host in service reaches the datastore {store.name}.")
    return max(reaching, key=lambda host: host.record.memory_mib - host.record.memory_used_mib).reference
