"""The console log's end, across virtlogd's rotation."""

from pathlib import Path

import pytest

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.kvm.console import LOG_BYTES, new_password, read_log
from polyvisor.hypervisor.kvm.instance import Instance

SERVER_ID = "3d6ad1b3-1c62-4a35-a1f4-8a8d6f2ac001"


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    instance = Instance(tmp_path, SERVER_ID)
    instance.directory.mkdir()
    return instance


def test_a_short_log_is_given_whole(instance: Instance) -> None:
    instance.console_log.write_bytes(b"hello\n")
    assert read_log(instance) == b"hello\n"


def test_of_a_long_log_the_end_is_given(instance: Instance) -> None:
    instance.console_log.write_bytes(b"x" * LOG_BYTES + b"end")
    log = read_log(instance)
    assert len(log) == LOG_BYTES
    assert log.endswith(b"xend")


def test_a_log_that_was_just_rotated_goes_on_from_the_one_before(instance: Instance) -> None:
    instance.console_log.with_name("console.log.0").write_bytes(b"y" * (2 << 20))
    instance.console_log.write_bytes(b"end")
    log = read_log(instance)
    assert len(log) == LOG_BYTES
    assert log.endswith(b"yyend")


def test_no_log_is_said_in_a_sentence(instance: Instance) -> None:
    with pytest.raises(HypervisorError, match="no console log"):
        read_log(instance)


def test_passwords_differ_and_fit_vnc() -> None:
    passwords = {new_password() for _ in range(50)}
    assert len(passwords) == 50
    assert {len(password) for password in passwords} == {8}
