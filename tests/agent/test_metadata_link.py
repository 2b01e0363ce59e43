"""Guests' questions from an agent: as bytes, to whichever server answers; and heard for as long as the agent runs."""

import base64
import threading
from typing import Any

import pytest

from polyvisor.agent.agent import Agent
from polyvisor.agent.files import AgentFiles
from polyvisor.agent.metadata_link import HttpMetadataLink
from polyvisor.agent.servers import Servers
from polyvisor.model.metadata import MetadataAnswer, MetadataAsked, MetadataPort
from polyvisor.model.settings import OperateSettings
from polyvisor.operate.link import LinkDown
from polyvisor.operate.metadata_link import MetadataLink
from tests.agent.conftest import Start
from tests.agent.server import FakeServer

ASKED = MetadataAsked(
    network_id="n1", address="10.0.0.5", method="POST", path="/openstack/latest/password", body=b"\x00\xff"
)
PORT = {
    "network_id": "n1",
    "port_id": "p1",
    "mac_address": "fa:16:3e:00:00:01",
    "mtu": 1442,
    "addresses": ["10.0.0.2/24"],
}


def link_to(files: AgentFiles, *servers: FakeServer) -> HttpMetadataLink:
    return HttpMetadataLink(Servers([server.url for server in servers], files.context), "session-1")


def answers(body: dict[str, Any]) -> Any:
    return lambda _asked: (200, body)


def test_a_question_and_its_answer_keep_their_bytes(files: AgentFiles, server: FakeServer) -> None:
    told = base64.b64encode(b"\xff\x00").decode()
    server.handlers["/metadata"] = answers({"status": 409, "body": told, "content_type": "text/plain", "newer": 1})
    found = link_to(files, server).ask(ASKED)
    assert found == MetadataAnswer(status=409, body=b"\xff\x00", content_type="text/plain")
    [body] = server.asked("/metadata")
    assert body["session"] == "session-1"
    assert base64.b64decode(body["asked"]["body"]) == b"\x00\xff"


def test_networks_are_told_with_what_is_known_here(files: AgentFiles, server: FakeServer) -> None:
    server.handlers["/metadata_ports"] = answers({"ports": [{**PORT, "newer": 1}], "newer": 1})
    assert link_to(files, server).ports() == (
        MetadataPort(
            network_id="n1", port_id="p1", mac_address="fa:16:3e:00:00:01", mtu=1442, addresses=("10.0.0.2/24",)
        ),
    )


def test_another_server_is_asked_where_one_is_gone(files: AgentFiles, start_server: Start) -> None:
    gone, well = start_server(), start_server()
    gone.stop()
    well.handlers["/metadata"] = answers({"status": 404})
    for _ in range(3):
        assert link_to(files, gone, well).ask(ASKED).status == 404


@pytest.mark.parametrize(
    "answer", [(404, {"error": "No such thing."}), (200, {"status": "none"}), (503, {"error": "Busy."})]
)
def test_no_answer_is_said_to_be_none(files: AgentFiles, server: FakeServer, answer: Any) -> None:
    """A server of an older release knows no guests, and answers 404 itself: that is no word about the guest."""
    server.handlers["/metadata"] = lambda _asked: answer
    with pytest.raises(LinkDown):
        link_to(files, server).ask(ASKED)


def test_guests_are_heard_from_the_agent_s_start_to_its_end(files: AgentFiles, server: FakeServer) -> None:
    server.handlers["/beat"] = lambda _body: (200, {})
    server.handlers["/metadata_ports"] = answers({"ports": [PORT]})
    said: list[str] = []

    class Station:
        def __init__(self, link: MetadataLink) -> None:
            said.append(link.ports()[0].network_id)

        def start(self) -> None:
            said.append("start")

        def stop(self) -> None:
            said.append("stop")

    agent = Agent(files, {}, {}, OperateSettings(), guests=Station)  # type: ignore[arg-type]
    stopping = threading.Event()
    stopping.set()
    assert agent.run(stopping, 1.0)
    assert said == ["n1", "start", "stop"]
