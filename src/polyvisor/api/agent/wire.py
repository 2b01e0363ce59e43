"""What agents send, and what they are answered, as records; JSON as it stands.

Fields that a newer release has added are passed over, so that releases may meet.
"""

from datetime import datetime
from typing import Annotated, TypeVar

import msgspec

from polyvisor.model.errors import Invalid
from polyvisor.model.link import Beat, Exchange, Glimpse, Inventory, Lease, PlaceState
from polyvisor.model.metadata import MetadataAsked, MetadataPort
from polyvisor.model.record import Told

Session = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9-]{8,36}$")]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$")]
Version = Annotated[str, msgspec.Meta(max_length=64)]
Csr = Annotated[str, msgspec.Meta(max_length=16_384)]
_MOST_ITEMS = 10_000
Places = Annotated[tuple[str, ...], msgspec.Meta(max_length=256)]


class ExchangeAsked(Exchange):
    """POST /agent/v1/exchange."""

    session: Session


class Leases(Told):
    """Its answer."""

    leases: tuple[Lease, ...]


class WaitAsked(Told):
    """POST /agent/v1/wait."""

    session: Session
    places: Places
    timeout_seconds: Annotated[float, msgspec.Meta(ge=0)]


class Woken(Told):
    """Its answer: whether there may be something to do, or else the time ran out."""

    woken: bool


class BeatAsked(Told):
    """POST /agent/v1/beat; the answer is a Held."""

    session: Session
    beat: Beat
    version: Version = ""


class InventoryAsked(Told):
    """POST /agent/v1/inventory."""

    session: Session
    inventory: Inventory


class GlimpseAsked(Told):
    """POST /agent/v1/glimpse."""

    session: Session
    glimpse: Glimpse


class NotesAsked(Told):
    """POST /agent/v1/notes."""

    session: Session
    place: str
    epoch: int
    notes: Annotated[dict[str, str], msgspec.Meta(max_length=_MOST_ITEMS)]


class MetadataPortsAsked(Told):
    """POST /agent/v1/metadata_ports."""

    session: Session


class MetadataPorts(Told):
    """Its answer."""

    ports: tuple[MetadataPort, ...]


class GuestAsked(Told):
    """POST /agent/v1/metadata; the answer is a MetadataAnswer."""

    session: Session
    asked: MetadataAsked


class Done(Told):
    """The answer where there is nothing to tell."""


class JoinAsked(Told):
    """POST /agent/v1/join, without a certificate."""

    token: Annotated[str, msgspec.Meta(max_length=512)]
    name: Name
    csr: Csr
    """PEM; its subject is not read."""
    session: Session
    version: Version = ""
    places: Annotated[tuple[PlaceState, ...], msgspec.Meta(max_length=256)] = ()


class Joined(Told):
    """Its answer."""

    agent_id: str
    name: str
    certificate: str
    """PEM."""
    expires_at: datetime
    authority: str
    """PEM of the authority that signed it, and every server's certificate."""
    cloud_id: str
    servers: tuple[str, ...]


class CertificateAsked(Told):
    """POST /agent/v1/certificate."""

    session: Session
    csr: Csr


class Renewed(Told):
    """Its answer."""

    certificate: str
    expires_at: datetime


T = TypeVar("T")


def decode(body: bytes, kind: type[T]) -> T:
    """The request in a body. Raises Invalid with a sentence that names what is wrong."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise Invalid(f"The request is not what it should be: {error}.") from None
