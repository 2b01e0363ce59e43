"""How many files and connections this process may have open."""

import contextlib
import resource

ENOUGH = 65_536
"""As in the systemd units: some thousands of agents, each with a few connections."""


def allow_many_open_files() -> None:
    """Raise the soft limit as far as it is of use; the hard limit is the administrator's and stays.

    Shells and other supervisors than systemd start programs with a soft limit of 1,024, which was chosen for select(2).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
