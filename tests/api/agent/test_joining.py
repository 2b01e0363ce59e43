"""Joining with a token, and the certificates that follow: renewed, replaced, and void."""

import socket
import ssl
import uuid
from datetime import UTC, datetime, timedelta

from cryptography import x509

from polyvisor.api.agent import authority as authorities
from polyvisor.model.agent import Party
from tests.api.agent.bed import Bed, Caller, foreign_authority


def test_a_token_is_good_once(bed: Bed) -> None:
    token = bed.token()
    bed.join("one", "kvm1", token=token)
    again = Caller(bed, "two").join(token, "kvm2")
    assert (again.status, "was used already" in again.body["error"]) == (403, True)


def test_a_token_expires_and_cannot_be_guessed(bed: Bed) -> None:
    expired = Caller(bed, "one").join(bed.token(lifetime=timedelta(seconds=-1)))
    assert (expired.status, "has expired" in expired.body["error"]) == (403, True)
    id, _, pin = bed.token().split(".")
    for guess in (f"{id}.wrong.{pin}", f"unknown.secret.{pin}", "", "..", "x" * 512):
        refused = Caller(bed, "one").join(guess)
        assert (refused.status, "not valid" in refused.body["error"]) == (403, True)


def test_a_joining_agent_brings_new_places_and_others_only_with_leave(bed: Bed) -> None:
    bed.join("one", "vc")
    refused = Caller(bed, "two").join(bed.token(), "vc")
    assert (refused.status, "--place vc" in refused.body["error"]) == (403, True)
    standby = bed.join("two", "vc", token=bed.token(places=("vc",)))
    assert standby.roles("vc") == {"vc": "active"}, "nobody holds it yet"


def test_a_name_is_anothers_unless_the_token_names_it(bed: Bed) -> None:
    one = bed.join("one", "kvm1")
    taken = Caller(bed, "one").join(bed.token(), "kvm2")
    assert (taken.status, "--name one" in taken.body["error"]) == (409, True)
    other = Caller(bed, "two").join(bed.token(name="one"))
    assert (other.status, "named one" in other.body["error"]) == (403, True)
    anew = Caller(bed, "one")
    assert anew.join(bed.token(name="one"), "kvm1").status == 200
    assert anew.id == one.id
    assert one.beat("kvm1").status == 401, "its earlier certificate is void"
    assert anew.roles("kvm1") == {"kvm1": "active"}


def test_what_cannot_be_signed_is_refused(bed: Bed) -> None:
    caller = Caller(bed, "one")
    for csr in ("", "no request", caller.csr()[:-60]):
        answered = caller.post("join", {"token": bed.token(), "name": "one", "csr": csr, "session": caller.session})
        assert (answered.status, "signing request" in answered.body["error"]) == (400, True)
    with bed.database.read() as store:
        assert store.agent.list() == []
        assert all(token.used_at is None for token in store.join_token.list())


def test_a_certificate_is_renewed_and_the_one_before_lasts_until_the_new_one_is_used(bed: Bed) -> None:
    agent = bed.join("one", "kvm1")
    old = agent.certificate
    lost = agent.say("certificate", csr=agent.csr())  # an answer that never arrives
    assert lost.status == 200
    renewed = agent.say("certificate", csr=agent.csr())
    assert renewed.status == 200
    assert agent.roles("kvm1") == {"kvm1": "active"}
    agent.show(renewed.body["certificate"])
    assert agent.roles("kvm1") == {"kvm1": "active"}
    agent.show(old)
    assert agent.roles("kvm1") == {"kvm1": "active"}, "for connections that are under way"
    bed.now = datetime.now(UTC) + timedelta(minutes=11)
    assert agent.beat("kvm1").status == 401
    agent.show(lost.body["certificate"])
    assert agent.beat("kvm1").status == 401
    agent.show(renewed.body["certificate"])
    assert agent.roles("kvm1") == {"kvm1": "active"}


def test_the_authority_is_one_however_many_servers_begin(bed: Bed) -> None:
    assert authorities.ensure(bed.database, bed.clock()) == bed.authority
    with bed.database.write() as store:
        assert store.authority.keep(foreign_authority()) == bed.authority
    told = Caller(bed).get("authority")
    assert told.content.decode() == bed.authority.certificate


def test_the_listeners_certificate_is_renewed_without_a_restart(bed: Bed) -> None:
    def shown() -> int:
        with bed_socket(bed) as connection:
            certificate = connection.getpeercert(binary_form=True)
            assert certificate is not None
            return x509.load_der_x509_certificate(certificate).serial_number

    before = shown()
    assert bed.certificate.renew_when_due(datetime.now(UTC)) is False
    assert shown() == before
    bed.certificate.expires_at = datetime.now(UTC) + timedelta(days=9)
    assert bed.certificate.renew_when_due(datetime.now(UTC)) is True
    assert shown() != before


def bed_socket(bed: Bed) -> ssl.SSLSocket:
    """A connection to the listener."""
    context = ssl.create_default_context(cadata=bed.authority.certificate)
    return context.wrap_socket(socket.create_connection(("127.0.0.1", bed.port)), server_hostname="localhost")


def test_the_owner_of_a_lease_fits_its_column() -> None:
    party = Party(agent_id=uuid.uuid4().hex, session=str(uuid.uuid4()))
    assert len(party.owner) == 64
