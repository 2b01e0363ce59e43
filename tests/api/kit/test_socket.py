"""The kit on a real socket, behind the server that it runs under: clients that go away, bodies that nobody reads."""

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn

from polyvisor.api.kit import PUBLIC, Call, Reply, Resource, Service, StreamReply
from polyvisor.api.kit.versions import nova_root, nova_version
from tests.api.cloud import ApiCloud

BOUND_SECONDS = 180


class Tap:
    """Chunks without an end, and whether they were closed."""

    def __init__(self) -> None:
        self.taken = 0
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        try:
            while True:
                self.taken += 1
                yield b"x" * 65536
        finally:
            self.closed.set()


class Places:
    """A service over what the tests look at."""

    def __init__(self) -> None:
        self.tap = Tap()
        self.uploads: list[str] = []
        self.upload_ended = threading.Event()
        resource = Resource("/things")
        resource.route("GET", "/{id}/data", policy=PUBLIC)(lambda call: StreamReply(200, self.tap))
        resource.route("PUT", "/{id}/data", policy=PUBLIC, streams=True)(self.upload)
        resource.route("PUT", "/{id}/limited", policy=PUBLIC, streams=True, max_body_bytes=100_000)(self.upload)
        resource.route("PUT", "/{id}/guarded", policy="context_is_admin", streams=True)(self.upload)
        resource.route("POST", policy=PUBLIC, body=dict[str, str])(lambda call: Reply(200, call.body))
        resource.route("DELETE", "/{id}", policy=PUBLIC)(lambda call: Reply(204))
        self.service = Service(
            "things", "/things", "/v1", resources=[resource], rules=[], root_document=nova_root,
            version_document=nova_version,
        )  # fmt: skip

    def upload(self, call: Call) -> Reply:
        taken = 0
        try:
            for chunk in call.stream:
                taken += len(chunk)
        except BaseException as error:
            self.uploads.append(type(error).__name__)
            raise
        finally:
            self.upload_ended.set()
        self.uploads.append(str(taken))
        return Reply(200, {"bytes": taken})


@pytest.fixture
def places() -> Places:
    return Places()


@pytest.fixture
def connect(tmp_path: Path, places: Places) -> Iterator[Callable[[], http.client.HTTPConnection]]:
    with ApiCloud(tmp_path, [places.service]) as cloud:
        server = uvicorn.Server(uvicorn.Config(cloud.app, host="127.0.0.1", port=0, log_config=None, access_log=False))
        thread = threading.Thread(target=server.run)
        thread.start()
        made: list[http.client.HTTPConnection] = []
        try:
            while not server.started:
                thread.join(0.02)
                assert thread.is_alive()
            port = server.servers[0].sockets[0].getsockname()[1]

            def connect() -> http.client.HTTPConnection:
                made.append(http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND_SECONDS))
                return made[-1]

            yield connect
        finally:
            for connection in made:
                connection.close()
            server.should_exit = True
            thread.join()


Connect = Callable[[], http.client.HTTPConnection]


def test_a_download_ends_when_its_client_goes(connect: Connect, places: Places) -> None:
    connection = connect()
    connection.request("GET", "/things/v1/things/1/data")
    response = connection.getresponse()
    assert len(response.read(200_000)) == 200_000
    response.close()
    connection.close()
    assert places.tap.closed.wait(BOUND_SECONDS)


def test_an_upload_ends_with_an_error_when_its_client_goes(connect: Connect, places: Places) -> None:
    connection = connect()
    connection.putrequest("PUT", "/things/v1/things/1/data")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders()
    connection.send(b"x" * 1000)
    connection.close()
    assert places.upload_ended.wait(BOUND_SECONDS)
    assert places.uploads == ["Invalid"]


def test_an_upload_arrives_whole_chunked_or_not(connect: Connect, places: Places) -> None:
    connection = connect()
    connection.request("PUT", "/things/v1/things/1/data", body=b"x" * 3_000_000)
    assert json.loads(connection.getresponse().read()) == {"bytes": 3_000_000}
    connection.request("PUT", "/things/v1/things/1/data", body=iter([b"y" * 70_000] * 20), encode_chunked=True)
    assert json.loads(connection.getresponse().read()) == {"bytes": 1_400_000}


def test_an_upload_without_a_token_is_refused_and_not_read(connect: Connect, places: Places) -> None:
    connection = connect()
    connection.putrequest("PUT", "/things/v1/things/1/guarded")
    connection.putheader("Content-Length", str(1 << 40))
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 401
    assert response.headers["connection"] == "close"
    assert places.uploads == []


def test_an_upload_past_its_limit_is_refused(connect: Connect, places: Places) -> None:
    connection = connect()
    connection.putrequest("PUT", "/things/v1/things/1/limited")
    connection.putheader("Content-Length", str(1 << 40))
    connection.endheaders()
    assert connection.getresponse().status == 413


def test_a_body_of_a_gigabyte_is_refused_before_it_is_sent(connect: Connect) -> None:
    connection = connect()
    connection.putrequest("POST", "/things/v1/things")
    connection.putheader("Content-Length", str(1 << 30))
    connection.putheader("Content-Type", "application/json")
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 413
    assert b"262144 bytes" in response.read()


def test_a_connection_serves_one_request_after_the_other(connect: Connect) -> None:
    connection = connect()
    connection.connect()
    first: socket.socket = connection.sock
    for number in range(3):
        connection.request("DELETE", f"/things/v1/things/{number}")
        response = connection.getresponse()
        assert response.status == 204
        assert response.read() == b""
        connection.request(
            "POST", "/things/v1/things", body=b'{"a": "b"}', headers={"Content-Type": "application/json"}
        )
        assert json.loads(connection.getresponse().read()) == {"a": "b"}
        connection.request("HEAD", "/things")
        assert connection.getresponse().read() == b""
    assert connection.sock is first
