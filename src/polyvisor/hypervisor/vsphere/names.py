"""Names: of hosts in the cloud (stable), and of VMs and folders in vCenter (escaped and bounded)."""

import json
import os
import threading
from collections.abc import Collection, Mapping
from pathlib import Path

MAX_NAME = 80
"""The longest name vCenter takes, as it counts: escaped."""
_ESCAPES = str.maketrans({"%": "%25", "/": "%2f", "\\": "%5c"})


def escaped(text: str) -> str:
    """As vCenter keeps names: these three characters are written as in a URL."""
    return text.translate(_ESCAPES)


def labelled(text: str, label: str) -> str:
    """A name "text (label)" for vCenter: the text is cut where the whole would be too long, the label never."""
    suffix = f" ({label})"
    kept = text.strip() or "server"
    while len(escaped(kept)) + len(suffix) > MAX_NAME:
        kept = kept[:-1]
    return escaped(kept.rstrip()) + suffix


def vm_name(name: str, server_id: str) -> str:
    """A server's name in vCenter: the user's, with the start of its id to make it unique in its folder."""
    return labelled(name, server_id.partition("-")[0])


def project_folder_name(project_name: str, project_id: str) -> str:
    """A project's folder in vCenter. The id makes it findable after the project was renamed."""
    return labelled(project_name or "project", project_id)


def vm_folder(server_id: str) -> str:
    """The folder of a server's files on its datastore: found by id alone, whatever became of the VM."""
    return f"pv-{server_id}"


class HostNames:
    """The names clusters have in the cloud: "CLUSTER.PLACE" when first seen, and the same ever after.

    Kept by managed object id, so that renaming a cluster in vCenter does not make it another host. A cluster whose id
    changed (it was put into a vCenter anew) gets its old name back when nothing else has it.
    """

    def __init__(self, file: Path, place: str) -> None:
        self._file, self._place = file, place
        self._lock = threading.Lock()
        self._names: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}

    def name(self, key: str, title: str, qualifier: str, present: Collection[str]) -> str:
        """The name of the cluster with this key ("INSTANCE/domain-c8"), title and datacenter; `present` = all keys."""
        with self._lock:
            if key in self._names:
                return self._names[key]
            taken = {name for other, name in self._names.items() if other in present}
            wanted = [f"{title}.{self._place}", f"{title}.{qualifier}.{self._place}"]
            wanted += [f"{title}-{number}.{qualifier}.{self._place}" for number in range(2, len(taken) + 3)]
            chosen = next(name for name in wanted if name not in taken)
            self._names = {other: name for other, name in self._names.items() if name != chosen} | {key: chosen}
            self._save()
            return chosen

    def notes(self) -> dict[str, str]:
        """All names, by key."""
        with self._lock:
            return dict(self._names)

    def recall(self, noted: Mapping[str, str]) -> bool:
        """Take in the names that others have given; they win. Returns whether that changed any."""
        with self._lock:
            given = set(noted.values())
            names = {key: name for key, name in self._names.items() if name not in given} | dict(noted)
            if names == self._names:
                return False
            self._names = names
            self._save()
            return True

    def _save(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(".new")
        with fresh.open("w") as out:
            json.dump(self._names, out, indent=1, sort_keys=True)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(self._file)
