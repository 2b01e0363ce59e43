"""The faults do what they say: a stopped program stands still, a clock jumps for it alone, a full disk is full."""

import errno
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from testbed.faults import Clock, Program, SmallDisk

PATIENCE_SECONDS = 180.0
TICKS = "import time\nfor n in range(100000): print(f'tick {n}.', flush=True); time.sleep(0.02)"
TELLS = (
    "import datetime, sys, time\n"
    "for line in sys.stdin:\n"
    "    begun = time.monotonic(); time.sleep(0.01); waited = time.monotonic() - begun\n"
    "    print(datetime.datetime.now(datetime.UTC).isoformat(), time.time(), waited, flush=True)\n"
)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program("ticker", [sys.executable, "-c", TICKS], tmp_path / "log") as made:
        made.wait_for_words("tick 3.", PATIENCE_SECONDS)
        yield made


def test_a_killed_program_starts_again_under_its_name(program: Program) -> None:
    before = program.pid
    program.kill()
    written = program.log.stat().st_size
    program.start()
    assert program.pid not in (None, before)
    program.wait_for_words("tick 0.", PATIENCE_SECONDS, since=written)


def test_a_paused_program_stands_still_until_it_is_resumed(program: Program) -> None:
    program.pause()
    written = program.log.stat().st_size
    time.sleep(0.1)
    assert program.log.stat().st_size == written
    program.resume()
    program.wait_for_words("tick", PATIENCE_SECONDS, since=written)


def test_a_paused_program_can_be_ended_in_good_order(program: Program) -> None:
    program.pause()
    assert program.terminate() == -signal.SIGTERM


def test_words_that_never_come_are_complained_of(tmp_path: Path) -> None:
    brief = Program("brief", [sys.executable, "-c", "print('gone already')"], tmp_path / "log")
    with brief, pytest.raises(ChildProcessError, match="gone already"):
        brief.wait_for_words("hello", PATIENCE_SECONDS)


def test_a_clock_jumps_for_one_process_and_no_wait_is_drawn_out(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    process = subprocess.Popen(
        [sys.executable, "-c", TELLS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clock.environment
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def ahead_seconds() -> int:
        """How far its clock is ahead of ours."""
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        wall, seconds, waited = process.stdout.readline().split()
        now = datetime.now(UTC)
        assert abs(datetime.fromisoformat(wall).timestamp() - float(seconds)) < PATIENCE_SECONDS
        assert float(waited) < PATIENCE_SECONDS
        return round((datetime.fromisoformat(wall) - now).total_seconds() / 60) * 60

    assert ahead_seconds() == 0
    clock.jump(3600)
    assert ahead_seconds() == 3600
    clock.jump(-7200)
    assert ahead_seconds() == -3600
    clock.set_right()
    assert ahead_seconds() == 0
    process.stdin.close()
    assert process.wait(PATIENCE_SECONDS) == 0


def test_a_full_disk_refuses_to_grow_a_file_until_it_is_freed() -> None:
    with SmallDisk(2) as disk:
        kept = disk.path / "kept"
        kept.write_bytes(bytes(4096))
        disk.fill()
        with pytest.raises(OSError) as refused:
            (disk.path / "more").write_bytes(bytes(4096))
        assert refused.value.errno == errno.ENOSPC
        disk.free()
        (disk.path / "more").write_bytes(bytes(4096))
        assert kept.stat().st_size == 4096
        path = disk.path
    assert not path.exists()
