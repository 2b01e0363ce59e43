"""Images as bytes: inspected before use, converted for each hypervisor, and held by a backend."""
