"""The cloud's own authority: made once, it signs for agents and for the listeners that they dial."""

import hashlib
import ipaddress
from collections.abc import Iterable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from polyvisor.model.agent import Authority
from polyvisor.model.errors import Invalid
from polyvisor.model.record import Record
from polyvisor.store.database import Database

AUTHORITY_LIFETIME = timedelta(days=3650)
SERVER_LIFETIME = timedelta(days=30)
_BEFORE = timedelta(minutes=5)
"""Certificates begin a little before they are made: clocks differ."""


class Signed(Record):
    """A certificate that was just made."""

    certificate: str
    """PEM."""
    serial: str
    """Hexadecimal."""
    expires_at: datetime


class ServerCertificate(Record):
    """A listener's certificate and key, both PEM."""

    certificate: str
    key: str
    expires_at: datetime


def ensure(database: Database, now: datetime) -> Authority:
    """The cloud's authority, made where there is none. Several servers may begin at once: all get the same."""
    with database.read() as store:
        found = store.authority.find()
    if found is not None:
        return found
    made = _make(now)
    with database.write() as store:
        return store.authority.keep(made)


def fingerprint(authority: Authority) -> str:
    """SHA-256 of the authority's certificate in hexadecimal: what a token pins."""
    return hashlib.sha256(_certificate(authority).public_bytes(serialization.Encoding.DER)).hexdigest()


def sign_agent(authority: Authority, csr: str, agent_id: str, now: datetime, days: float) -> Signed:
    """A certificate for the key in a signing request. Raises Invalid for a request that is none, or a weak key."""
    try:
        request = x509.load_pem_x509_csr(csr.encode())
        key = request.public_key()
        genuine = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature):
        raise Invalid("The certificate signing request cannot be read: send one in PEM, made of a P-256 key.") from None
    if not genuine:
        raise Invalid("The certificate signing request is not signed by its own key.")
    curved = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1)
    if not isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) or not (
        curved or isinstance(key, ed25519.Ed25519PublicKey)
    ):
        raise Invalid("The key of the certificate signing request is of a kind that is not taken: make a P-256 key.")
    builder = _leaf(authority, agent_id, key, now, now + timedelta(days=days), ExtendedKeyUsageOID.CLIENT_AUTH)
    made = builder.sign(_key(authority), hashes.SHA256())
    return Signed(certificate=_pem(made), serial=f"{made.serial_number:x}", expires_at=made.not_valid_after_utc)


def sign_server(authority: Authority, names: Iterable[str], now: datetime) -> ServerCertificate:
    """A certificate and key for a listener that is reached by these names and addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    until = now + SERVER_LIFETIME
    builder = _leaf(authority, "Polyvisor server", key.public_key(), now, until, ExtendedKeyUsageOID.SERVER_AUTH)
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in dict.fromkeys(names)])
    made = builder.add_extension(alternatives, critical=False).sign(_key(authority), hashes.SHA256())
    return ServerCertificate(certificate=_pem(made), key=_key_pem(key), expires_at=made.not_valid_after_utc)


def _make(now: datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Polyvisor agents' authority")
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate=_pem(made), key=_key_pem(key), created_at=now)


def _leaf(
    authority: Authority,
    common: str,
    key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey,
    now: datetime,
    until: datetime,
    use: x509.ObjectIdentifier,
) -> x509.CertificateBuilder:
    issuer = _certificate(authority)
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common))
        .issuer_name(issuer.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(min(until, issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _certificate(authority: Authority) -> x509.Certificate:
    return x509.load_pem_x509_certificate(authority.certificate.encode())


def _key(authority: Authority) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(authority.key.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Invalid("The key of the agents' authority is not one that Polyvisor made.")
    return key


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
