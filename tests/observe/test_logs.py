"""Logs: every line of a server is found by its id, and no secret is in any line, even at debug."""

import base64
import json
import sqlite3
from typing import Any

import pytest
import structlog

from polyvisor.model.errors import Invalid
from polyvisor.serve.logs import log_to_stderr
from tests.observe.observed import ObservedCloud, wait_for

pytestmark = pytest.mark.xdist_group("observed")


def of(cloud: ObservedCloud, **named: str) -> list[dict[str, Any]]:
    """The lines that name these things."""
    return [line for line in cloud.lines() if named.items() <= line.items()]


def test_a_servers_lines_are_found_by_its_id(observed: ObservedCloud) -> None:
    """In the API, also where it is only looked at, in the engine, and in the worker at the hypervisor.

    Each names its request, operation and project.
    """
    token = observed.token()
    id = observed.boot(token, "found")
    wait_for(lambda: [x for x in of(observed, server_id=id) if "is done" in str(x["event"])], "the operation's end")

    def requests(method: str) -> list[dict[str, Any]]:
        return [x for x in of(observed, server_id=id) if x["event"] == "request" and x["method"] == method]

    # A request's line is written when it has been answered, which the client knows before.
    wait_for(lambda: requests("POST") and requests("GET"), "the requests' lines")
    lines = of(observed, server_id=id)

    [created] = requests("POST")
    assert created["path"] == "/compute/v2.1/servers"
    named = {key: created[key] for key in ("request_id", "operation_id", "project_id")}

    steps = {x["step"]: x for x in lines if "step" in x}
    assert list(steps) == ["claim", "prepare_image", "make", "boot", "finish"]
    assert {name: x["place"] for name, x in steps.items()} == {
        "claim": "control", "prepare_image": "estate", "make": "estate", "boot": "estate", "finish": "control",
    }  # fmt: skip
    [ended] = [x for x in lines if x["event"] == "operation server.create is done"]
    for line in (*steps.values(), ended):
        assert named.items() <= line.items()

    observed.gone(token, id)


def test_a_line_of_one_request_has_nothing_of_another(observed: ObservedCloud) -> None:
    """Threads serve one request after the other; what they were bound to is forgotten in between."""
    token = observed.token()
    id = observed.boot(token, "bound")
    observed.gone(token, id)
    answer = observed.call("GET", "/compute/v2.1/flavors", token=token)
    request_id = answer.headers["X-OpenStack-Request-Id"]
    [line] = wait_for(lambda: of(observed, request_id=request_id), "the request's line")
    assert "server_id" not in line
    assert "operation_id" not in line


MARK = "Zq7secret"


def use_every_secret(cloud: ObservedCloud) -> tuple[set[str], str]:
    """Send passwords, tokens, user data and keys wherever the API takes them; returns them, and the mark."""
    admin, member = cloud.token("polyvisor-admin"), cloud.token()
    secrets = {admin, member, *(cloud.first_user(name)[1] for name in ("polyvisor", "polyvisor-admin"))}
    user = {"name": "marked", "password": f"{MARK}-user", "domain_id": "default"}
    made = cloud.call("POST", "/identity/v3/users", {"user": user}, token=admin)
    assert made.status_code == 201, made.text
    user_id = made.json()["user"]["id"]
    wrong = {"auth": {"identity": {"methods": ["password"], "password": {
        "user": {"id": user_id, "password": f"{MARK}-wrong"}}}}}  # fmt: skip
    assert cloud.call("POST", "/identity/v3/auth/tokens", wrong).status_code == 401
    changed = {"user": {"password": f"{MARK}-new", "original_password": f"{MARK}-user"}}
    assert cloud.call("POST", f"/identity/v3/users/{user_id}/password", changed, token=admin).status_code == 204
    right = {"auth": {"identity": {"methods": ["password"], "password": {
        "user": {"id": user_id, "password": f"{MARK}-new"}}}}}  # fmt: skip
    issued = cloud.call("POST", "/identity/v3/auth/tokens", right)
    assert issued.status_code == 201, issued.text
    own = issued.headers["X-Subject-Token"]
    secrets.add(own)
    assert cloud.call("GET", "/identity/v3/auth/tokens", token=admin, headers={"X-Subject-Token": own}).ok
    me = cloud.call("GET", "/identity/v3/auth/tokens", token=member, headers={"X-Subject-Token": member}).json()
    credential = {"application_credential": {"name": "marked", "secret": f"{MARK}-credential"}}
    path = f"/identity/v3/users/{me['token']['user']['id']}/application_credentials"
    kept = cloud.call("POST", path, credential, token=member)
    assert kept.status_code == 201, kept.text
    by = {"id": kept.json()["application_credential"]["id"], "secret": f"{MARK}-credential"}
    body = {"auth": {"identity": {"methods": ["application_credential"], "application_credential": by}}}
    issued = cloud.call("POST", "/identity/v3/auth/tokens", body)
    assert issued.status_code == 201, issued.text
    secrets.add(issued.headers["X-Subject-Token"])
    user_data = base64.b64encode(f"#cloud-config\npassword: {MARK}-data\n".encode()).decode()
    secrets.add(user_data)
    id = cloud.boot(member, "marked", adminPass=f"{MARK}-admin", user_data=user_data, config_drive=True)
    action = f"/compute/v2.1/servers/{id}/action"
    cloud.call("POST", action, {"os-getConsoleOutput": {}}, token=member)
    cloud.call("POST", action, {"reboot": {"type": "HARD"}}, token=member)
    cloud.reach(member, id, "ACTIVE")
    # Refusals say what was wrong, and never what was sent.
    cloud.call("POST", "/compute/v2.1/servers", {"server": {"adminPass": f"{MARK}-bad", "user_data": 7}}, token=member)
    cloud.call("POST", "/identity/v3/users", {"user": {"password": f"{MARK}-bad", "name": 7}}, token=admin)
    cloud.call("POST", "/identity/v3/auth/tokens", {"auth": f"{MARK}-bad"})
    cloud.call("GET", f"/compute/v2.1/servers?name={MARK}-query", token=member)
    cloud.call("GET", "/compute/v2.1/servers", token=f"{MARK}-token")
    cloud.gone(member, id)
    assert cloud.call("DELETE", "/identity/v3/auth/tokens", token=admin, headers={"X-Subject-Token": own}).ok
    return secrets, MARK


def test_no_secret_is_in_any_line_or_span(observed: ObservedCloud) -> None:
    """At debug, whatever is sent: passwords, tokens, credentials, user data, a token in a query, sealing keys."""
    secrets, mark = use_every_secret(observed)
    with sqlite3.connect(f"file:{observed.data / 'polyvisor.db'}?mode=ro", uri=True) as database:
        keys = [row[0] for row in database.execute("SELECT secret FROM token_key")]
        hashes = [row[0] for row in database.execute("SELECT password_hash FROM user") if row[0]]
    assert keys
    assert hashes
    logged = observed.logged()
    assert "level" in logged
    for secret in {*secrets, *keys, *hashes, mark}:
        assert secret not in logged, f"{secret[:12]}… was logged"
    sent = b"".join(observed.receiver.raw)
    for secret in {*secrets, *keys, *hashes, mark}:
        assert secret.encode() not in sent, f"{secret[:12]}… is in a span"
    told = json.dumps([(sample.name, sample.labels) for sample in observed.scrape()])
    assert not [secret for secret in {*secrets, mark} if secret in told]


@pytest.mark.parametrize(
    ("levels", "sentence"), [({"apis": "info"}, "no area 'apis'"), ({"api": "loud"}, "'loud' is no level")]
)
def test_an_area_or_level_that_is_not_there_is_refused(levels: dict[str, str], sentence: str) -> None:
    before = structlog.get_config()
    with pytest.raises(Invalid, match=sentence):
        log_to_stderr("info", "text", levels)
    assert structlog.get_config() == before, "nothing is configured by halves"
