"""Backends of networks: each makes something real equal to the Networking API's records."""
