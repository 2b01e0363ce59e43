"""Test beds: real libvirt, a vCenter with real guests, and a small guest image, for the tests and the demo."""
