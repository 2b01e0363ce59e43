"""The test bed's OVN: its databases come and go as tests want, and a killed owner's is cleared away."""

import signal
import subprocess
import sys
from pathlib import Path

from testbed.ovn import TestOvn
from testbed.process import alive

ROOT = Path(__file__).parents[2]

OWNER = """
import time
from testbed.ovn import TestOvn
ovn = TestOvn(chassis=1).__enter__()
ovn.nbctl("ls-add", "theirs")
print(ovn.directory, ovn.chassis[0].namespace, *(daemon.pid for daemon in ovn._daemons.values()), flush=True)
time.sleep(600)
"""


def namespaces() -> str:
    return subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout


def test_nothing_is_left_of_a_killed_owner_once_somebody_makes_another() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert owner.stdout is not None
    directory, namespace, *pids = owner.stdout.readline().split()
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert namespace in namespaces()
    assert all(alive(int(pid)) for pid in pids)
    with TestOvn() as ovn:
        assert not Path(directory).exists()
        assert not any(alive(int(pid)) for pid in pids)
        assert namespace not in namespaces()
        assert ovn.nbctl("ls-list") == ""
        kept = ovn.directory
    assert not kept.exists()


def test_a_database_that_was_killed_comes_back_as_it_was_and_one_that_was_emptied_without_a_row() -> None:
    with TestOvn() as ovn:
        ovn.nbctl("ls-add", "mine")
        ovn.kill("nb")
        ovn.start()
        assert "mine" in ovn.nbctl("ls-list")
        ovn.empty()
        assert ovn.nbctl("ls-list") == ""
