"""The Networking API, version 2.0."""
