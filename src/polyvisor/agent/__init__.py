"""The process beside a hypervisor: it dials out to the servers, and runs the steps of its places."""
