"""Requests that the tests of the Networking API make over and over."""

from typing import Any

from tests.api.client import Answer, ApiClient

BASE = "/network/v2.0"


def collection_of(noun: str) -> str:
    """ "policies" of "policy"."""
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"


def make(client: ApiClient, noun: str, **fields: Any) -> dict[str, Any]:
    """A new record; fields with a colon come as `router__external`."""
    answer = try_make(client, noun, **fields)
    assert answer.status == 201, answer
    found: dict[str, Any] = answer.body[noun]
    return found


def try_make(client: ApiClient, noun: str, **fields: Any) -> Answer:
    """The answer to a request that makes a record."""
    body = {name.replace("__", ":"): value for name, value in fields.items()}
    return client.post(f"{BASE}/{_path(noun)}", {noun: body})


def change(client: ApiClient, noun: str, id: str, **fields: Any) -> Answer:
    """The answer to a change."""
    body = {name.replace("__", ":"): value for name, value in fields.items()}
    return client.put(f"{BASE}/{_path(noun)}/{id}", {noun: body})


def show(client: ApiClient, noun: str, id: str, **query: Any) -> dict[str, Any]:
    """One record."""
    answer = client.get(f"{BASE}/{_path(noun)}/{id}", **query)
    assert answer.status == 200, answer
    found: dict[str, Any] = answer.body[noun]
    return found


def listed(client: ApiClient, noun: str, **query: Any) -> list[dict[str, Any]]:
    """A list."""
    answer = client.get(f"{BASE}/{_path(noun)}", **query)
    assert answer.status == 200, answer
    found: list[dict[str, Any]] = answer.body[collection_of(noun)]
    return found


def delete(client: ApiClient, noun: str, id: str) -> Answer:
    """The answer to a deletion."""
    return client.delete(f"{BASE}/{_path(noun)}/{id}")


def _path(noun: str) -> str:
    dashed = {"address_scope": "address-scope", "rbac_policy": "rbac-policy"}
    return collection_of(dashed.get(noun, noun))


def refused(answer: Answer, status: int, kind: str) -> str:
    """The sentence of an error, which is of this status and Neutron's type."""
    assert answer.status == status, answer
    error = answer.body["NeutronError"]
    assert error["type"] == kind, error
    sentence: str = error["message"]
    return sentence
