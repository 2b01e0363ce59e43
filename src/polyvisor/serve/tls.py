"""Certificates for an API beyond loopback, where the operator brings none: a small authority of our own."""

import ipaddress
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from polyvisor.agent.private_file import write_private
from polyvisor.model.errors import Invalid
from polyvisor.model.record import Record

LIFETIME = timedelta(days=397)
AUTHORITY_LIFETIME = timedelta(days=3650)
RENEW_BEFORE = timedelta(days=30)


class Certificate(Record):
    """Paths of PEM files."""

    chain: Path
    key: Path
    authority: Path | None = None
    """The certificate that clients have to trust; None where the operator brought the chain."""


def own_certificate(directory: Path, host: str, now: datetime | None = None) -> Certificate:
    """A certificate for `host` under `directory`, made or renewed when it must be."""
    now = now or datetime.now(UTC)
    found = Certificate(
        chain=directory / "server.pem", key=directory / "server.key", authority=directory / "authority.pem"
    )
    names = _names(host)
    if _still_good(found, names, now):
        return found
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority, authority_key = _authority(directory, now)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name("Polyvisor API"))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    write_private(found.key, _key_pem(key))
    write_private(found.chain, certificate.public_bytes(serialization.Encoding.PEM))
    return found


def _authority(directory: Path, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    pem, key_pem = directory / "authority.pem", directory / "authority.key"
    if pem.exists() and key_pem.exists():
        key = serialization.load_pem_private_key(key_pem.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise Invalid(
                f"{key_pem} is not the key that Polyvisor wrote: remove the directory {directory} to start anew."
            )
        return x509.load_pem_x509_certificate(pem.read_bytes()), key
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Polyvisor authority")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_signing_only(), critical=True)
        .sign(key, hashes.SHA256())
    )
    write_private(key_pem, _key_pem(key))
    write_private(pem, certificate.public_bytes(serialization.Encoding.PEM))
    return certificate, key


def _still_good(found: Certificate, names: list[x509.GeneralName], now: datetime) -> bool:
    if not (found.chain.exists() and found.key.exists()):
        return False
    certificate = x509.load_pem_x509_certificate(found.chain.read_bytes())
    held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return certificate.not_valid_after_utc - RENEW_BEFORE > now and set(names) <= set(held)


def _names(host: str) -> list[x509.GeneralName]:
    local = socket.gethostname()
    found: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.DNSName(local)]
    found.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return found if host in ("localhost", local) else [*found, x509.DNSName(host)]
    return found if address.is_unspecified or address.is_loopback else [*found, x509.IPAddress(address)]


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _signing_only() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
