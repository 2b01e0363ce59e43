"""Room for the server's vCPUs, memory and disk, after reservation, overcommit and the claims of others."""

from polyvisor.model.place import PlaceRequest
from polyvisor.schedule.ask import Ask
from polyvisor.schedule.columns import Mask
from polyvisor.schedule.phrase import Phrase
from polyvisor.schedule.table import DISK, MEMORY, VCPUS, HostTable

ADVICE = "ask for a smaller flavor"


class Capacity:
    """The filter for one resource."""

    ADVICE = ADVICE

    def __init__(self, resource: int, field: str, unit: str, word: str) -> None:
        """`resource` is its row in the table, `field` its name in a request."""
        self._resource = resource
        self._field = field
        self._unit = unit
        self._word = word
        self.__name__ = f"capacity.{field}"

    def mask(self, table: HostTable, ask: Ask) -> Mask | None:
        """Which hosts have that much free; None = all, as nothing is asked."""
        wanted = self._wanted(ask.request)
        # A server that asks for nothing goes even where overcommit was lowered below what is claimed.
        return None if wanted <= 0 else table.free[self._resource, : table.size] >= wanted

    def reason(self, table: HostTable, row: int, ask: Ask) -> str | None:
        """Why this host does not do, or None."""
        wanted, free = self._wanted(ask.request), int(table.free[self._resource, row])
        if wanted <= 0 or free >= wanted:
            return None
        limit = int(table.limit[self._resource, row])
        return f"has {max(0, free)} of {limit} {self._unit} free, and the server needs {wanted}"

    def phrase(self, table: HostTable, row: int, ask: Ask) -> Phrase:
        """The same for the user, for any number of such hosts."""
        state = "too small" if table.limit[self._resource, row] < self._wanted(ask.request) else "full"
        return Phrase(f"is {state} ({self._word})", f"are {state} ({self._word})")

    def _wanted(self, request: PlaceRequest) -> int:
        wanted: int = getattr(request, self._field)
        return wanted


VCPU = Capacity(VCPUS, "vcpus", "vCPUs", "vCPUs")
RAM = Capacity(MEMORY, "memory_mib", "MiB of memory", "memory")
ROOM = Capacity(DISK, "disk_gib", "GiB of disk", "disk")
