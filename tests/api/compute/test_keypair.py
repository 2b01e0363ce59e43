"""Key pairs belong to users."""

import hashlib
from base64 import b64decode
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from tests.api.cloud import ApiCloud
from tests.api.compute.conftest import at

KEYPAIRS = "/compute/v2.1/os-keypairs"
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqnXM8hPJ8pP1u4Y5uXf5Zq4uRUQ6wYk1O1qP0sVJbB somebody@somewhere"


def _import(cloud: ApiCloud, name: str, version: str = "2.1", **fields: Any) -> dict[str, Any]:
    answer = at(cloud.member, version).post(KEYPAIRS, {"keypair": {"name": name, "public_key": PUBLIC, **fields}})
    assert answer.status in (200, 201), answer
    made: dict[str, Any] = answer.body["keypair"]
    return made


def test_an_imported_key_is_shown_with_its_fingerprint(cloud: ApiCloud) -> None:
    digest = hashlib.md5(b64decode(PUBLIC.split()[1])).hexdigest()
    fingerprint = ":".join(digest[at : at + 2] for at in range(0, 32, 2))
    made = _import(cloud, "mine")
    user_id = cloud.user_id("demo", "member")
    assert made == {"name": "mine", "public_key": PUBLIC, "fingerprint": fingerprint, "user_id": user_id}
    shown = cloud.member.get(f"{KEYPAIRS}/mine").body["keypair"]
    assert {name: shown[name] for name in made} == made
    assert shown["id"] > 0
    assert (shown["deleted"], shown["deleted_at"], shown["updated_at"]) == (False, None, None)
    assert shown["created_at"].count(":") == 2
    listed = cloud.member.get(KEYPAIRS).body["keypairs"]
    assert listed == [{"keypair": {"name": "mine", "public_key": PUBLIC, "fingerprint": fingerprint}}]


def test_a_generated_pair_fits_together_and_its_private_key_is_shown_once(cloud: ApiCloud) -> None:
    made = cloud.member.post(KEYPAIRS, {"keypair": {"name": "made"}}).body["keypair"]
    private = serialization.load_ssh_private_key(made["private_key"].encode(), None)
    public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    assert made["public_key"].startswith(public.decode())
    assert "private_key" not in cloud.member.get(f"{KEYPAIRS}/made").body["keypair"]


def test_a_generated_certificate_is_for_its_user(cloud: ApiCloud) -> None:
    made = at(cloud.member, "2.2").post(KEYPAIRS, {"keypair": {"name": "made", "type": "x509"}}).body["keypair"]
    certificate = x509.load_pem_x509_certificate(made["public_key"].encode())
    private = serialization.load_pem_private_key(made["private_key"].encode(), None)
    assert certificate.public_key() == private.public_key()
    assert made["fingerprint"] == certificate.fingerprint(hashes.SHA1()).hex(":")
    assert cloud.user_id("demo", "member") in certificate.subject.rfc4514_string()
    again = {"keypair": {"name": "again", "type": "x509", "public_key": made["public_key"]}}
    imported = at(cloud.member, "2.2").post(KEYPAIRS, again)
    assert imported.body["keypair"]["fingerprint"] == made["fingerprint"]


def test_statuses_and_types_follow_the_microversion(cloud: ApiCloud) -> None:
    old, new = at(cloud.member, "2.1"), at(cloud.member, "2.2")
    body = {"keypair": {"name": "a", "public_key": PUBLIC}}
    assert old.post(KEYPAIRS, body).status == 200
    assert old.delete(f"{KEYPAIRS}/a").status == 202
    made = new.post(KEYPAIRS, body)
    assert (made.status, made.body["keypair"]["type"]) == (201, "ssh")
    assert new.get(KEYPAIRS).body["keypairs"][0]["keypair"]["type"] == "ssh"
    assert new.delete(f"{KEYPAIRS}/a").status == 204
    assert new.delete(f"{KEYPAIRS}/a").status == 404


def test_users_see_their_own_key_pairs_only(cloud: ApiCloud) -> None:
    _import(cloud, "mine")
    owner = cloud.user_id("demo", "member")
    assert cloud.reader.get(KEYPAIRS).body == {"keypairs": []}
    assert cloud.other.get(f"{KEYPAIRS}/mine").status == 404
    assert at(cloud.other, "2.10").get(f"{KEYPAIRS}/mine", user_id=owner).status == 403
    assert at(cloud.other, "2.10").delete(f"{KEYPAIRS}/mine", user_id=owner).status == 403
    as_other = {"keypair": {"name": "x", "public_key": PUBLIC, "user_id": owner}}
    assert at(cloud.other, "2.10").post(KEYPAIRS, as_other).status == 403
    assert at(cloud.member, "2.10").get(f"{KEYPAIRS}/mine").status == 200


def test_administrators_manage_other_users_key_pairs_from_2_10_on(cloud: ApiCloud) -> None:
    owner = cloud.user_id("demo", "member")
    admin = at(cloud.admin, "2.10")
    body = {"keypair": {"name": "given", "public_key": PUBLIC, "user_id": owner}}
    assert at(cloud.admin, "2.9").post(KEYPAIRS, body).status == 400
    assert admin.post(KEYPAIRS, body).body["keypair"]["user_id"] == owner
    assert [one["keypair"]["name"] for one in admin.get(KEYPAIRS, user_id=owner).body["keypairs"]] == ["given"]
    assert admin.get(KEYPAIRS).body == {"keypairs": []}
    assert cloud.member.get(f"{KEYPAIRS}/given").status == 200
    assert admin.delete(f"{KEYPAIRS}/given", user_id=owner).status == 204


def test_a_name_is_taken_once_per_user(cloud: ApiCloud) -> None:
    _import(cloud, "mine")
    body = {"keypair": {"name": "mine", "public_key": PUBLIC}}
    assert cloud.member.post(KEYPAIRS, body).status == 409
    assert cloud.other.post(KEYPAIRS, body).status == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "x" * 256},
        {"name": ""},
        {"name": "a/b"},
        {"name": " a"},
        {"name": "me@home"},
        {"public_key": ""},
        {"public_key": "ssh-ed25519"},
        {"public_key": "ssh-ed25519 AAAA nonsense"},
        {"public_key": "no key at all"},
        {"type": "x509"},
        {"color": "red"},
    ],
)
def test_what_is_wrong_with_a_key_pair_is_told(cloud: ApiCloud, fields: dict[str, Any]) -> None:
    body = {"keypair": {"name": "a", "public_key": PUBLIC, **fields}}
    for version in ("2.1", "2.2"):
        answer = at(cloud.member, version).post(KEYPAIRS, body)
        assert answer.status == 400
        assert answer.body["badRequest"]["message"].endswith(".")
    assert cloud.member.get(KEYPAIRS).body == {"keypairs": []}


def test_from_2_92_on_users_bring_their_own_keys_under_freer_names(cloud: ApiCloud) -> None:
    member = at(cloud.member, "2.92")
    assert member.post(KEYPAIRS, {"keypair": {"name": "me@home.net"}}).status == 400
    assert member.post(KEYPAIRS, {"keypair": {"name": "me@home.net", "public_key": PUBLIC}}).status == 201
    assert member.delete(f"{KEYPAIRS}/me@home.net").status == 204


def test_the_quota_of_key_pairs_is_obeyed(cloud: ApiCloud) -> None:
    with cloud.database.write() as store:
        store.quota.set(cloud.project_id("demo"), {"key_pairs": 1})
    _import(cloud, "a")
    refused = cloud.member.post(KEYPAIRS, {"keypair": {"name": "b", "public_key": PUBLIC}})
    assert refused.status == 403
    assert "key_pairs" in refused.body["forbidden"]["message"]


def test_lists_come_in_pages_from_2_35_on(cloud: ApiCloud) -> None:
    for name in ("c", "a", "b"):
        _import(cloud, name)
    member = at(cloud.member, "2.35")
    page = member.get(KEYPAIRS, limit=2)
    assert [one["keypair"]["name"] for one in page.body["keypairs"]] == ["a", "b"]
    following = member.get(page.body["keypairs_links"][0]["href"].partition("cloud.test")[2])
    assert [one["keypair"]["name"] for one in following.body["keypairs"]] == ["c"]
    assert member.get(KEYPAIRS, marker="gone").status == 400
    assert len(at(cloud.member, "2.34").get(KEYPAIRS, limit=1).body["keypairs"]) == 3
