"""Guests' questions by way of agents: an agent speaks for guests of its own hosts, and learns nothing of others'."""

import msgspec

from polyvisor.model.metadata import MetadataAnswer, MetadataAsked
from tests.api.agent.bed import Bed, Caller
from tests.api.metadata.estate import Estate, asked, name_in, uid

META_DATA = "/openstack/latest/meta_data.json"


def ask(agent: Caller, question: MetadataAsked) -> MetadataAnswer:
    """POST /agent/v1/metadata."""
    answered = agent.say("metadata", asked=msgspec.to_builtins(question))
    assert answered.status == 200, answered
    return msgspec.convert(answered.body, MetadataAnswer)


def two_agents(bed: Bed) -> tuple[Caller, Caller]:
    """An agent with a host that has a guest, and another one with a host of its own."""
    estate = Estate(bed.database)
    agents = []
    for name in ("kvm1", "kvm2"):
        agent = bed.join(name, name)
        estate.host(name, name, agent_id=agent.id)
        assert agent.roles(name) == {name: "active"}
        agents.append(agent)
    estate.network("net", "p")
    estate.server("guest", "p", "net", "10.0.0.5", "kvm1")
    return agents[0], agents[1]


def test_an_agent_is_answered_for_its_own_guests_and_no_others(bed: Bed) -> None:
    own, other = two_agents(bed)
    assert name_in(ask(own, asked("net", "10.0.0.5", META_DATA))) == "guest"
    assert ask(other, asked("net", "10.0.0.5", META_DATA)).status == 404
    [port] = own.say("metadata_ports").body["ports"]
    assert (port["network_id"], port["addresses"]) == (uid("net"), ["10.0.0.2/24"])
    assert other.say("metadata_ports").body == {"ports": []}


def test_the_bytes_of_a_password_come_through(bed: Bed) -> None:
    own, other = two_agents(bed)
    path = "/openstack/latest/password"
    assert ask(other, asked("net", "10.0.0.5", path, "POST", b"stolen")).status == 404
    assert ask(own, asked("net", "10.0.0.5", path, "POST", b"c2VjcmV0")).status == 200
    assert ask(own, asked("net", "10.0.0.5", path)).body == b"c2VjcmV0"
    assert ask(own, asked("net", "10.0.0.5", path, "POST", b"b3RoZXI=")).status == 409


def test_who_is_not_an_agent_any_more_is_told_nothing(bed: Bed) -> None:
    own, _ = two_agents(bed)
    question = {"asked": msgspec.to_builtins(asked("net", "10.0.0.5", META_DATA))}
    stranger = Caller(bed)
    assert stranger.say("metadata", **question).status == 401
    assert stranger.say("metadata_ports").status == 401
    with bed.database.write() as store:
        store.agent.change(own.id, revoked_at=bed.clock())
    assert own.say("metadata", **question).status == 401
    assert own.say("metadata_ports").status == 401


def test_a_question_that_is_none_is_refused(bed: Bed) -> None:
    own, _ = two_agents(bed)
    assert own.say("metadata").status == 400
    assert own.say("metadata", asked={"network_id": 5}).status == 400
