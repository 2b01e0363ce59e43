"""The vSphere driver: vCenter clusters and direct ESXi hosts. pyVmomi is imported here and nowhere else."""
