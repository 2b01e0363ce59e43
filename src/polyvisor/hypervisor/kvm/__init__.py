"""The KVM driver: one libvirtd and the QEMU guests it runs, on this machine. libvirt stays inside this folder."""

from polyvisor.hypervisor.kvm.settings import KvmSettings

__all__ = ["KvmSettings"]
