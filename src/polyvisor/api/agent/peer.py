"""Who is at the other end of a connection, by the certificate that the TLS handshake has verified."""

import functools
from collections.abc import MutableMapping
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from polyvisor.model.agent import Party
from polyvisor.model.errors import Unauthorized
from polyvisor.model.record import Record

_NONE = "Show the certificate that the agent was given when it joined."


class Peer(Record):
    """What a verified certificate says."""

    agent_id: str
    serial: str
    expires_at: datetime


def peer(scope: MutableMapping[str, Any]) -> Peer:
    """The agent whose certificate the connection has shown. Raises Unauthorized where it has shown none."""
    chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain") or ()
    found = _read(chain[0]) if chain else None
    if found is None:
        raise Unauthorized(_NONE)
    return found


def party(scope: MutableMapping[str, Any], session: str, now: datetime, version: str = "") -> Party:
    """The process that asks. Whether it may is the gate's to say. Raises Unauthorized."""
    shown = peer(scope)
    if shown.expires_at <= now:
        raise Unauthorized("The agent's certificate has expired: let it join again, with a new token.")
    client = scope.get("client")
    return Party(
        agent_id=shown.agent_id,
        session=session,
        serial=shown.serial,
        address=str(client[0])[:255] if client else "",
        version=version,
    )


@functools.lru_cache(maxsize=8192)
def _read(pem: str) -> Peer | None:
    certificate = x509.load_pem_x509_certificate(pem.encode())
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1:
        return None
    return Peer(
        agent_id=str(names[0].value),
        serial=f"{certificate.serial_number:x}",
        expires_at=certificate.not_valid_after_utc,
    )
