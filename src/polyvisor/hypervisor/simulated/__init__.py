"""The simulated hypervisor: a driver for scale tests, for crash tests, and for trying Polyvisor out."""

from polyvisor.hypervisor.simulated.driver import SimulatedDriver
from polyvisor.hypervisor.simulated.settings import SimulatedSettings

__all__ = ["SimulatedDriver", "SimulatedSettings"]
