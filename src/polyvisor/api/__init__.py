"""The OpenStack APIs: each service's resources, over one kit. They record what is wanted, and act on nothing."""
