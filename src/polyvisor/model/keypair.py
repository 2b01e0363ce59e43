"""Key pairs: the public keys that users hand to their servers."""

from datetime import datetime
from enum import StrEnum

from polyvisor.model.record import Record


class KeyType(StrEnum):
    """What a public key is."""

    SSH = "ssh"
    X509 = "x509"


class Keypair(Record):
    """A key pair as the store has it; nobody keeps private keys."""

    id: int = 0
    """The number that the Compute API shows; the store gives it."""
    user_id: str
    name: str
    """Unique among the user's."""
    type: KeyType
    public_key: str
    """OpenSSH's line, or a certificate in PEM."""
    fingerprint: str
    """Pairs of hexadecimal digits with colons: MD5 of an ssh key's blob, SHA-1 of a certificate."""
    created_at: datetime
