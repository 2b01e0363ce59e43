"""How an agent becomes one: a token, good once, is exchanged for a certificate; later it is renewed."""

import hashlib
import hmac
import logging
import secrets
from datetime import datetime, timedelta

from sqlalchemy.exc import IntegrityError

from polyvisor.api.agent import authority as authorities
from polyvisor.api.agent.peer import Peer
from polyvisor.api.agent.wire import CertificateAsked, JoinAsked, Joined, Renewed
from polyvisor.model.agent import Agent, Authority, JoinToken
from polyvisor.model.errors import Conflict, Forbidden
from polyvisor.model.link import PlaceState
from polyvisor.store.database import Database
from polyvisor.store.store import Store

log = logging.getLogger(__name__)

_NO_TOKEN = "This join token is not valid: make one with `polyvisor token create` on a server."  # noqa: S105 - a sentence


def new_token(
    token_id: str, authority: Authority, *, name: str, places: tuple[str, ...], now: datetime, lifetime: timedelta
) -> tuple[JoinToken, str]:
    """A token as the store keeps it, and its text: id, secret, and the authority's fingerprint."""
    secret = secrets.token_urlsafe(32)
    kept = JoinToken(
        id=token_id,
        secret_hash=_hash(secret),
        agent_name=name,
        places=places,
        created_at=now,
        expires_at=now + lifetime,
    )
    return kept, f"{token_id}.{secret}.{authorities.fingerprint(authority)}"


def join(
    database: Database,
    authority: Authority,
    asked: JoinAsked,
    *,
    agent_id: str,
    address: str,
    servers: tuple[str, ...],
    certificate_days: float,
    now: datetime,
) -> Joined:
    """Take an agent in. `agent_id`: a fresh one. Raises Forbidden, Conflict, Invalid."""
    try:
        with database.write() as store:
            token = _checked(store, asked, now)
            known = _known(store, asked, token)
            agent_id = known.id if known is not None else agent_id
            signed = authorities.sign_agent(authority, asked.csr, agent_id, now, certificate_days)
            agent = Agent(
                id=agent_id,
                name=asked.name,
                sessions=(asked.session, *(known.sessions if known is not None else ()))[:16],
                version=asked.version,
                address=address,
                certificate_serial=signed.serial,
                certificate_until=signed.expires_at,
                created_at=known.created_at if known is not None else now,
                seen_at=now,
            )
            if known is None:
                store.agent.add(agent)
            else:
                store.agent.replace(agent)
            if not store.join_token.use(token.id, agent_id, now):
                raise Forbidden(_NO_TOKEN)
            store.agent.allow(agent_id, _granted(store, agent_id, asked.places, token))
            cloud_id = store.cloud.id(agent_id)
    except IntegrityError:
        raise _taken(asked.name) from None
    log.info("the agent %s has joined from %s, for the places %s", asked.name, address, _names(asked.places))
    return Joined(
        agent_id=agent_id,
        name=asked.name,
        certificate=signed.certificate,
        expires_at=signed.expires_at,
        authority=authority.certificate,
        cloud_id=cloud_id,
        servers=servers,
    )


def renew(
    store: Store, authority: Authority, peer: Peer, asked: CertificateAsked, *, certificate_days: float, now: datetime
) -> Renewed:
    """A new certificate for an agent that was admitted. The one it has shown goes on until the new one is in use."""
    signed = authorities.sign_agent(authority, asked.csr, peer.agent_id, now, certificate_days)
    store.agent.change(
        peer.agent_id,
        certificate_serial=signed.serial,
        certificate_until=signed.expires_at,
        former_serial=peer.serial,
        former_until=peer.expires_at,
    )
    log.info("the certificate of the agent %s was renewed until %s", peer.agent_id, signed.expires_at)
    return Renewed(certificate=signed.certificate, expires_at=signed.expires_at)


def _checked(store: Store, asked: JoinAsked, now: datetime) -> JoinToken:
    token_id, _, rest = asked.token.partition(".")
    secret = rest.partition(".")[0]
    token = store.join_token.find(token_id[:36])
    if token is None or not hmac.compare_digest(_hash(secret), token.secret_hash):
        raise Forbidden(_NO_TOKEN)
    state = token.state(now)
    if state != "valid":
        what = "was used already" if state == "used" else "has expired"
        raise Forbidden(f"This join token {what}: make another with `polyvisor token create` on a server.")
    if token.agent_name and token.agent_name != asked.name:
        raise Forbidden(f"This join token is for an agent named {token.agent_name}, not {asked.name}.")
    return token


def _known(store: Store, asked: JoinAsked, token: JoinToken) -> Agent | None:
    """The agent that joins again. Only a token made for its name lets it: others must not take its place."""
    known = store.agent.find_named(asked.name)
    if known is not None and token.agent_name != asked.name:
        raise _taken(asked.name)
    return known


def _granted(store: Store, agent_id: str, places: tuple[PlaceState, ...], token: JoinToken) -> list[str]:
    """The places that the agent may serve from now on. Raises Forbidden for one that is another's."""
    wanted = {place.name for place in places} - set(token.places)
    offered = store.agent.offered(wanted)
    own = {one.place for one in offered if one.agent_id == agent_id}
    others = {one.place for one in offered} | (store.host.places() & wanted)
    others |= {name for name, place in store.place.many(wanted).items() if place.epoch > 0}
    refused = sorted(others - own)
    if refused:
        named = " ".join(f"--place {name}" for name in refused)
        raise Forbidden(
            f"The place {refused[0]} is served already: to let this agent stand by for it (or take it over), make its "
            f"token with `polyvisor token create {named}`; else give the hypervisor another name."
        )
    return sorted(wanted | set(token.places))


def _taken(name: str) -> Conflict:
    return Conflict(
        f"An agent named {name} has joined already. To let it join again, make its token with `polyvisor token create "
        f"--name {name}`; else choose another name."
    )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _names(places: tuple[PlaceState, ...]) -> str:
    return ", ".join(place.name for place in places) or "none yet"
