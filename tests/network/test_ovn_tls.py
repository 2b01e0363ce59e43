"""OVN's databases by TLS: who is not signed by the authority is not spoken to, by neither side."""

from collections.abc import Iterator
from pathlib import Path

import ovs.stream
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from polyvisor.model.network_settings import NetworkSettings
from polyvisor.network.backend import BackendDown
from polyvisor.network.ovn.backend import OvnBackend
from testbed.ovn import SCHEMAS, TestOvn
from testbed.ovn_guest import run
from testbed.ports import free_ports
from tests.agent.authority import TestAuthority
from tests.network.beds import until
from tests.network.records import network, records

pytestmark = pytest.mark.xdist_group("ovn")


@pytest.fixture(autouse=True)
def forgotten_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library keeps one identity for a process: other tests go on without it."""
    for name in ("_SSL_private_key_file", "_SSL_certificate_file", "_SSL_ca_cert_file"):
        monkeypatch.setattr(ovs.stream.Stream, name, None)


@pytest.fixture
def authority() -> TestAuthority:
    return TestAuthority("OVN")


@pytest.fixture
def northbound(ovn: TestOvn, authority: TestAuthority, tmp_path: Path) -> Iterator[str]:
    """A northbound database of its own that is reached by TLS alone."""
    (tmp_path / "server.pem").write_bytes(authority.server())
    (tmp_path / "authority.pem").write_text(authority.pem)
    run(["ovsdb-tool", "create", str(tmp_path / "nb.db"), SCHEMAS["nb"]])
    [port] = free_ports(1)
    identity = [f"--private-key={tmp_path}/server.pem", f"--certificate={tmp_path}/server.pem"]
    listen = [f"--ca-cert={tmp_path}/authority.pem", f"--remote=pssl:{port}:127.0.0.1"]
    database = ovn.spawn("tls", ["ovsdb-server", *identity, *listen, "--unixctl=none", str(tmp_path / "nb.db")])
    yield f"ssl:127.0.0.1:{port}"
    database.kill()
    database.wait()


def settings(
    ovn: TestOvn, northbound: str, signer: TestAuthority, trusted: TestAuthority, folder: Path
) -> NetworkSettings:
    """For a client that `signer` has signed, and that trusts whom `trusted` has."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    (folder / "client.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / "client.crt").write_text(signer.sign(request.public_bytes(serialization.Encoding.PEM).decode()))
    (folder / "trusted.pem").write_text(trusted.pem)
    return NetworkSettings(
        ovn_northbound=northbound,
        ovn_southbound=ovn.southbound,
        ovn_tls_certificate=str(folder / "client.crt"),
        ovn_tls_key=str(folder / "client.key"),
        ovn_tls_authority=str(folder / "trusted.pem"),
    )


def test_those_whom_the_authority_has_signed_speak_to_each_other(
    ovn: TestOvn, northbound: str, authority: TestAuthority, tmp_path: Path
) -> None:
    backend = OvnBackend(settings(ovn, northbound, authority, authority, tmp_path))
    try:
        until(backend, lambda: backend.term() > 0)
        assert backend.sweep(records(network("n1"))).changes > 0
    finally:
        backend.close()


@pytest.mark.parametrize("stranger", ["the database", "this process"])
def test_a_stranger_is_not_spoken_to(
    ovn: TestOvn, northbound: str, authority: TestAuthority, tmp_path: Path, stranger: str
) -> None:
    other = TestAuthority("Another")
    signer, trusted = (authority, other) if stranger == "the database" else (other, authority)
    backend = OvnBackend(settings(ovn, northbound, signer, trusted, tmp_path))
    try:
        until(backend, lambda: "OVN_Northbound" in backend.trouble)
        for _ in range(10):
            backend.wait(0.1)
            assert backend.term() == 0
        with pytest.raises(BackendDown):
            backend.sweep(records(network("n1")))
    finally:
        backend.close()
