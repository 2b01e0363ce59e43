"""Public keys and certificates: read, fingerprinted, and made where a user brings none."""

import base64
import binascii
import hashlib
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from polyvisor.model.errors import Invalid
from polyvisor.model.keypair import KeyType

_UPN = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
_UTF8_STRING = 0x0C
_YEARS = timedelta(days=3650)
_COMMENT = "Generated-by-Polyvisor"


def fingerprint(kind: KeyType, public_key: str) -> str:
    """The fingerprint of a public key or certificate, as Nova shows it. Raises Invalid for what is none."""
    return _ssh_fingerprint(public_key) if kind is KeyType.SSH else _x509_fingerprint(public_key)


def generate(kind: KeyType, user_id: str, now: datetime) -> tuple[str, str]:
    """A new public and private key: OpenSSH's Ed25519, or a client certificate for WinRM with its RSA key in PEM."""
    return _generate_ssh() if kind is KeyType.SSH else _generate_x509(user_id, now)


def _ssh_fingerprint(public_key: str) -> str:
    parts = public_key.split(None, 2)
    try:
        serialization.load_ssh_public_key(public_key.strip().encode())
        blob = base64.b64decode(parts[1], validate=True)
    except (ValueError, IndexError, UnsupportedAlgorithm, binascii.Error):
        raise Invalid(
            "Keypair data is invalid: the field 'keypair.public_key' is to be one line of OpenSSH's public key file, "
            'such as "ssh-ed25519 AAAA… comment".'
        ) from None
    return _pairs(hashlib.md5(blob, usedforsecurity=False).digest())


def _x509_fingerprint(certificate: str) -> str:
    try:
        loaded = x509.load_pem_x509_certificate(certificate.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise Invalid(
            "Keypair data is invalid: the field 'keypair.public_key' is to be a certificate in PEM."
        ) from None
    return _pairs(loaded.fingerprint(hashes.SHA1()))  # noqa: S303 (a name that users compare, no proof)


def _pairs(digest: bytes) -> str:
    return digest.hex(":")


def _generate_ssh() -> tuple[str, str]:
    private = ed25519.Ed25519PrivateKey.generate()
    line = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return f"{line.decode()} {_COMMENT}", secret.decode()


def _generate_x509(user_id: str, now: datetime) -> tuple[str, str]:
    private = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user_id[:64])])
    principal = f"{user_id}@localhost".encode()
    if len(principal) > 127:
        raise Invalid("A certificate cannot be made for a user id of this length: import one instead.")
    upn = x509.OtherName(_UPN, bytes((_UTF8_STRING, len(principal))) + principal)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _YEARS)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([upn]), critical=False)
        .sign(private, hashes.SHA256())
    )
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), secret.decode()
