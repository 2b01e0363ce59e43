"""Tags, one at a time."""

from tests.api.cloud import ApiCloud
from tests.api.image.calls import IMAGES, made, show


def test_a_tag_is_added_once_and_removed(cloud: ApiCloud) -> None:
    image = made(cloud.member, tags=["first"])
    here = f"{IMAGES}/{image['id']}/tags"
    for _ in range(2):
        assert cloud.member.put(f"{here}/a%20b%2Fc").status == 204
    assert show(cloud.member, image["id"])["tags"] == ["first", "a b/c"]
    assert cloud.member.delete(f"{here}/first").status == 204
    assert cloud.member.delete(f"{here}/first").status == 404
    assert show(cloud.member, image["id"])["tags"] == ["a b/c"]


def test_a_tag_too_long_or_one_too_many_is_refused(cloud: ApiCloud) -> None:
    image = made(cloud.member, tags=[f"t{n}" for n in range(128)])
    here = f"{IMAGES}/{image['id']}/tags"
    assert cloud.member.put(f"{here}/{'x' * 256}").status == 400
    assert cloud.member.put(f"{here}/one-more").status == 413
    assert cloud.member.put(f"{here}/t5").status == 204
