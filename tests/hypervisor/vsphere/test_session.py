"""The session: who is trusted, who may log in, and what happens when it ends, or the server with it."""

import functools
import itertools
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from polyvisor.hypervisor.driver import Unreachable
from polyvisor.hypervisor.vsphere.driver import VsphereDriver
from polyvisor.hypervisor.vsphere.tls import CertificateRefused, colons
from polyvisor.model.power import Power
from testbed.vcenter import TestVcenter

from .conftest import Connect, StartVcenter
from .kit import NO_IMAGES, Person, eventually, ignore, spec_of


def test_a_wrong_thumbprint_is_refused_with_the_one_seen(vcenter: TestVcenter, connect: Connect) -> None:
    driver = connect(vcenter, thumbprint="ab" * 32)
    with pytest.raises(CertificateRefused) as refused:
        driver.hosts()
    assert colons(vcenter.thumbprint_sha256.replace(":", "").lower()) in str(refused.value)
    assert colons("ab" * 32) in str(refused.value)


def test_every_connection_checks_the_thumbprint_not_only_the_first(vcenter: TestVcenter, connect: Connect) -> None:
    driver = connect(vcenter, thumbprint="ab" * 32)
    for _ in range(3):
        with pytest.raises(CertificateRefused):
            driver.hosts()


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_thumbprint_of_either_kind_is_trusted(vcenter: TestVcenter, connect: Connect, algorithm: str) -> None:
    thumbprint = vcenter.thumbprint if algorithm == "sha1" else vcenter.thumbprint_sha256
    assert connect(vcenter, thumbprint=thumbprint).hosts()


def test_an_unknown_authority_is_refused_with_what_to_set(vcenter: TestVcenter, connect: Connect) -> None:
    with pytest.raises(CertificateRefused, match=r"`ca_file`.*`thumbprint`"):
        connect(vcenter, thumbprint="").hosts()


def test_the_authority_that_is_named_is_trusted(vcenter: TestVcenter, connect: Connect) -> None:
    assert connect(vcenter, ca_file=str(vcenter.cert_path)).hosts()


def test_a_ca_file_that_is_not_there_is_told_when_connecting_and_not_before(
    vcenter: TestVcenter, connect: Connect
) -> None:
    driver = connect(vcenter, ca_file="/nowhere/ca.pem")
    with pytest.raises(CertificateRefused, match=r"/nowhere/ca\.pem"):
        driver.hosts()


def test_an_insecure_connection_must_be_asked_for(vcenter: TestVcenter, connect: Connect) -> None:
    assert connect(vcenter, insecure=True).hosts()


def test_a_wrong_password_is_told_and_not_tried_again_at_once(vcenter: TestVcenter, connect: Connect) -> None:
    driver = connect(vcenter, password="wrong-and-secret")
    for _ in range(3):  # the second and third do not reach the server, whose account they might lock
        with pytest.raises(Unreachable, match="does not let") as refused:
            driver.hosts()
        assert "wrong-and-secret" not in str(refused.value)
    log = (vcenter.data_dir / "vcenter.log").read_text()
    assert log.count("InvalidLogin") <= 1


def test_many_threads_share_one_login(vcenter: TestVcenter, driver: VsphereDriver) -> None:
    with ThreadPoolExecutor(8) as pool:
        reports = list(pool.map(lambda _: driver.hosts(), range(16)))
    assert len({report[0].name for report in reports}) == 1
    assert driver.session.logins == 1


def test_a_session_that_ended_is_renewed_once_for_all_threads(driver: VsphereDriver, person: Person) -> None:
    driver.hosts()
    assert person.end_sessions_but_mine() == 1
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: driver.hosts(), range(16)))
    assert driver.session.logins == 2


def test_work_goes_on_while_sessions_end_under_it(driver: VsphereDriver, person: Person) -> None:
    host, over = driver.hosts()[0].name, threading.Event()

    def end_sessions() -> None:
        # Mostly in the middle of a call; however slow the machine is, some pause is long enough for one.
        for pause in itertools.cycle((0.03, 0.03, 0.1, 0.03, 0.3, 0.03, 1.0)):
            if over.wait(pause):
                return
            person.end_sessions_but_mine()

    breaker = threading.Thread(target=end_sessions)
    breaker.start()
    try:
        for _ in range(5):
            spec = spec_of(config_drive=True)
            _again(functools.partial(driver.create, host, "", spec, NO_IMAGES, ignore))
            _again(functools.partial(driver.set_power, spec.server_id, Power.ON))
            _again(functools.partial(driver.destroy, spec.server_id))
    finally:
        over.set()
        breaker.join()
    assert driver.guests() == []
    assert person.files() == []
    assert driver.session.logins > 2


def _again(step: Callable[[], None]) -> None:
    """As the operation engine does when a step says that the server was out of reach."""

    def succeeds() -> bool:
        try:
            step()
        except Unreachable:
            return False
        return True

    eventually(succeeds, bool)


def test_a_killed_vcenter_is_unreachable_and_found_again_after_its_restart(
    start_vcenter: StartVcenter, connect: Connect
) -> None:
    vcenter = start_vcenter(guests_die_with_me=False)
    driver = connect(vcenter)
    host = driver.hosts()[0].name
    spec = spec_of()
    driver.create(host, "", spec, NO_IMAGES, ignore)
    driver.set_power(spec.server_id, Power.ON)
    vcenter.kill()
    for call in (driver.hosts, driver.guests, lambda: driver.look(spec.server_id)):
        with pytest.raises(Unreachable, match=r"does not answer"):
            call()
    vcenter.restart()
    guest = eventually(lambda: driver.look(spec.server_id), lambda seen: seen is not None)
    assert guest is not None
    assert guest.power is Power.ON
    assert [each.name for each in driver.hosts()] == [host]
    driver.destroy(spec.server_id)


def test_a_server_that_falls_silent_is_unreachable_within_the_bound(vcenter: TestVcenter, connect: Connect) -> None:
    driver = connect(vcenter, timeout_seconds=1.5, connect_timeout_seconds=1)
    assert eventually(lambda: _hosts(driver), bool)
    assert vcenter.pid is not None
    os.kill(vcenter.pid, signal.SIGSTOP)
    try:
        # Were it to wait for the server, it would do so for good.
        with pytest.raises(Unreachable):
            driver.hosts()
    finally:
        os.kill(vcenter.pid, signal.SIGCONT)
    assert eventually(lambda: _hosts(driver), bool)


def _hosts(driver: VsphereDriver) -> list[str]:
    try:
        return [host.name for host in driver.hosts()]
    except Unreachable:
        return []


def test_a_closed_connection_refuses_further_calls(driver: VsphereDriver) -> None:
    driver.hosts()
    driver.close()
    with pytest.raises(Unreachable, match="closed"):
        driver.hosts()
