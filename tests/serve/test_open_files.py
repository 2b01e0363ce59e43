"""The limit of open files, in a process of its own."""

import subprocess
import sys

import pytest

# The hard limit of this machine may be lower than what is enough: the test has an "enough" of its own.
SCRIPT = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
from polyvisor.serve import open_files
open_files.ENOUGH = 2048
open_files.allow_many_open_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "after"), [(256, 4096, "2048 4096"), (256, 1024, "1024 1024"), (3000, 4096, "3000 4096")]
)
def test_the_soft_limit_is_raised_as_far_as_it_is_of_use(soft: int, hard: int, after: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(soft=soft, hard=hard)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == after
