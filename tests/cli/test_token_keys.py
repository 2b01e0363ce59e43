"""`polyvisor token-keys` beside a running cloud."""

from pathlib import Path

from tests.clients.cloud import ADMIN, RunningCloud


def test_keys_are_rotated_beside_a_running_cloud_and_no_token_is_lost(tmp_path: Path) -> None:
    with RunningCloud(tmp_path, "--simulated", "1") as cloud:
        before = cloud.sdk(ADMIN)
        assert before.authorize()
        states = _states(cloud, "list")
        assert states == ["primary", "staged"]
        assert _states(cloud, "rotate") == ["primary", "staged", "secondary"]
        assert [domain.name for domain in before.identity.domains()] == ["Default"]
        after = cloud.sdk(ADMIN)
        assert after.authorize() != before.authorize()
        assert _states(cloud, "rotate") == ["primary", "staged", "secondary", "secondary"]
        for connection in (before, after):
            token = connection.authorize()
            assert connection.identity.get("/auth/projects", headers={"X-Auth-Token": token}).status_code == 200


def test_after_a_theft_every_token_is_void_and_clients_log_in_again(tmp_path: Path) -> None:
    with RunningCloud(tmp_path, "--simulated", "1") as cloud:
        before = cloud.sdk(ADMIN)
        stolen = before.authorize()
        assert _states(cloud, "rotate", "--void-all") == ["primary", "staged"]
        refused = before.session.get(
            f"{cloud.url}/identity/v3/auth/projects", headers={"X-Auth-Token": stolen}, authenticated=False,
            raise_exc=False,
        )  # fmt: skip
        assert refused.status_code == 401
        assert [domain.name for domain in before.identity.domains()] == ["Default"]


def _states(cloud: RunningCloud, *words: str) -> list[str]:
    answer = cloud.command("token-keys", *words)
    assert answer.status == 0, answer
    return [word for word in answer.stdout.split() if word in ("primary", "staged", "secondary")]
