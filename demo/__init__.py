"""The demonstration: one cloud, a server on KVM and one on vSphere, driven by the unmodified `openstack` client."""
