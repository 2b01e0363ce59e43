"""Images deactivated and reactivated."""

from tests.api.cloud import ApiCloud
from tests.api.image.calls import IMAGES, made, show, uploaded


def test_a_deactivated_image_is_not_downloaded_until_it_is_reactivated(cloud: ApiCloud) -> None:
    image = uploaded(cloud.member)
    here = f"{IMAGES}/{image['id']}"
    for _ in range(2):
        assert cloud.member.post(f"{here}/actions/deactivate").status == 204
    assert show(cloud.member, image["id"])["status"] == "deactivated"
    assert cloud.member.get(f"{here}/file").status == 403
    assert cloud.admin.get(f"{here}/file").status == 200
    assert cloud.member.post(f"{here}/actions/reactivate").status == 204
    assert show(cloud.member, image["id"])["status"] == "active"
    assert cloud.member.get(f"{here}/file").status == 200


def test_an_image_without_data_cannot_be_switched(cloud: ApiCloud) -> None:
    image = made(cloud.member)
    for action in ("deactivate", "reactivate"):
        answer = cloud.member.post(f"{IMAGES}/{image['id']}/actions/{action}")
        assert answer.status == 403
        assert "queued" in answer.body["message"]
    assert cloud.member.post(f"{IMAGES}/{image['id']}/actions/explode").status == 404


def test_readers_and_strangers_switch_nothing(cloud: ApiCloud) -> None:
    image = uploaded(cloud.admin, visibility="public")
    for client in (cloud.reader, cloud.other):
        assert client.post(f"{IMAGES}/{image['id']}/actions/deactivate").status == 403
