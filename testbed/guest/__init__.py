"""A small Linux guest that starts in seconds and says on its console what its cloud gave it."""

from testbed.guest.build import GuestImage, build

__all__ = ["GuestImage", "build"]
