"""Security groups as a distributed switch of vSphere can hold them."""
