"""A seeded simulation of the whole cloud: servers, agents, hypervisors, users and faults on one virtual clock."""
