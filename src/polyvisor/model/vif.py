"""What ports say of how they are plugged."""

from polyvisor.model.host import HypervisorType

UNBOUND = "unbound"
BINDING_FAILED = "binding_failed"
VIF_TYPES = {
    HypervisorType.KVM: "ovs",
    HypervisorType.QEMU: "ovs",
    HypervisorType.VMWARE: "dvs",
    HypervisorType.SIMULATED: "simulated",
}
"""By the hypervisor of their host."""
