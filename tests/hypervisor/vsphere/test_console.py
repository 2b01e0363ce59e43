"""What a user sees of a guest: its serial log, also while its ESXi host holds the file, and its console."""

import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pyVmomi import vim

from polyvisor.hypervisor.driver import GuestSpec, HypervisorError
from polyvisor.hypervisor.vsphere.driver import VsphereDriver
from polyvisor.model.power import Power
from testbed.vcenter import TestVcenter

from .kit import NO_IMAGES, Person, ignore, spec_of


@pytest.fixture
def host(driver: VsphereDriver) -> str:
    return driver.hosts()[0].name


def make(driver: VsphereDriver, host: str) -> GuestSpec:
    spec = spec_of()
    driver.create(host, "", spec, NO_IMAGES, ignore)
    return spec


def test_the_console_log_of_a_guest_that_never_ran_is_empty(driver: VsphereDriver, host: str) -> None:
    assert driver.console_log(make(driver, host).server_id) == b""


def test_only_the_last_mib_of_a_console_log_is_read(vcenter: TestVcenter, driver: VsphereDriver, host: str) -> None:
    spec = make(driver, host)
    log = vcenter.data_dir / "datastores" / "DC0" / "datastore1" / f"pv-{spec.server_id}" / "console.log"
    log.write_bytes(b"old" * (1 << 20) + b"CLOUD-READY\n")
    found = driver.console_log(spec.server_id)
    assert len(found) == 1 << 20
    assert found.endswith(b"CLOUD-READY\n")


def test_a_vm_without_a_serial_port_has_no_console_log(driver: VsphereDriver, host: str, person: Person) -> None:
    spec = make(driver, host)
    vm = person.vm(spec.server_id)
    devices = person.get(vm, "config.hardware.device")
    (port,) = [each for each in devices if isinstance(each, vim.vm.device.VirtualSerialPort)]
    change = vim.vm.ConfigSpec(deviceChange=[vim.vm.device.VirtualDeviceSpec(operation="remove", device=port)])
    person.do(lambda: vm.Reconfigure(change))
    with pytest.raises(HypervisorError, match="serial port"):
        driver.console_log(spec.server_id)


def test_a_console_is_a_webmks_ticket(driver: VsphereDriver, host: str) -> None:
    spec = make(driver, host)
    with pytest.raises(HypervisorError, match="not running"):
        driver.console(spec.server_id)
    driver.set_power(spec.server_id, Power.ON)
    console = driver.console(spec.server_id)
    assert console.kind == "webmks"
    assert console.path.startswith("/ticket/")
    assert console.port


class Esxi(http.server.BaseHTTPRequestHandler):
    """Stands for the web server of an ESXi host, which the simulator has none of."""

    seen: list[tuple[str, str]] = []

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["Cookie"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"from the host\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Be quiet."""


@pytest.fixture
def esxi(vcenter: TestVcenter, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Esxi]]:
    """A server that answers to the names of the cluster's hosts, with the vCenter's certificate."""
    monkeypatch.setattr(Esxi, "seen", [])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Esxi)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(vcenter.cert_path, vcenter.cert_path.with_name("key.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        if str(host).startswith("DC0_C0_H"):
            host, port = server.server_address[0], server.server_address[1]
        return real(host, port, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    yield Esxi
    server.shutdown()
    server.server_close()


def test_a_log_that_vcenter_cannot_read_is_read_from_the_host_that_holds_it(
    vcenter: TestVcenter, driver: VsphereDriver, host: str, esxi: type[Esxi]
) -> None:
    spec = make(driver, host)
    folder = vcenter.data_dir / "datastores" / "DC0" / "datastore1" / f"pv-{spec.server_id}"
    (folder / "console.log").symlink_to("console.log")  # reading it fails, as that of a locked file does
    assert driver.console_log(spec.server_id) == b"from the host\n"
    ((path, cookie),) = esxi.seen
    assert path == f"/folder/pv-{spec.server_id}/console.log?dcPath=ha-datacenter&dsName=datastore1"
    assert cookie.startswith("vmware_cgi_ticket=")
    assert "vmware_soap_session" not in cookie
