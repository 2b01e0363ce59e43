"""Our own certificates: they hold for the address, are renewed in time, and their keys are private."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from polyvisor.model.errors import Invalid
from polyvisor.serve.tls import LIFETIME, own_certificate

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def loaded(path: Path) -> x509.Certificate:
    """The certificate in a PEM file."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_certificate_names_the_address_it_is_for(tmp_path: Path) -> None:
    made = own_certificate(tmp_path, "192.0.2.7", NOW)
    names = loaded(made.chain).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "192.0.2.7" in [str(each) for each in names.get_values_for_type(x509.IPAddress)]
    assert "localhost" in names.get_values_for_type(x509.DNSName)


def test_the_authority_has_signed_it_and_python_takes_it(tmp_path: Path) -> None:
    made = own_certificate(tmp_path, "192.0.2.7", NOW)
    assert made.authority is not None
    loaded(made.chain).verify_directly_issued_by(loaded(made.authority))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.chain, made.key)


def test_keys_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    own_certificate(tmp_path / "tls", "192.0.2.7", NOW)
    for path in (tmp_path / "tls").glob("*.key"):
        assert path.stat().st_mode & 0o077 == 0


def test_a_good_certificate_is_kept(tmp_path: Path) -> None:
    first = own_certificate(tmp_path, "192.0.2.7", NOW).chain.read_bytes()
    assert own_certificate(tmp_path, "192.0.2.7", NOW + timedelta(days=100)).chain.read_bytes() == first


@pytest.mark.parametrize(("host", "later"), [("192.0.2.7", LIFETIME - timedelta(days=5)), ("192.0.2.8", timedelta(0))])
def test_one_that_ends_soon_or_names_another_address_is_renewed(tmp_path: Path, host: str, later: timedelta) -> None:
    made = own_certificate(tmp_path, "192.0.2.7", NOW)
    first, authority = made.chain.read_bytes(), made.authority.read_bytes() if made.authority else b""
    renewed = own_certificate(tmp_path, host, NOW + later)
    assert renewed.chain.read_bytes() != first
    assert renewed.authority is not None
    assert renewed.authority.read_bytes() == authority, "clients go on trusting the same authority"


def test_a_foreign_key_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    made = own_certificate(tmp_path, "192.0.2.7", NOW)
    made.chain.unlink()
    foreign = rsa.generate_private_key(65537, 2048)
    (tmp_path / "authority.key").write_bytes(
        foreign.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with pytest.raises(Invalid, match="is not the key"):
        own_certificate(tmp_path, "192.0.2.7", NOW)
