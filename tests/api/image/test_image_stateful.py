"""Any order of requests by any project, against a plain model of who sees what and which bytes there are."""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from polyvisor.api.image.service import service
from polyvisor.api.image.settings import ImageSettings
from polyvisor.image.files import FileBackend
from tests.api.cloud import ApiCloud
from tests.api.image.calls import IMAGES, patch, put

PROJECTS = ("demo", "other", "third")
VISIBILITIES = ("private", "shared", "community", "public")
projects = st.sampled_from(PROJECTS)
visibilities = st.sampled_from(VISIBILITIES)


class ImageMachine(RuleBasedStateMachine):
    """`known`: by image id its owner, visibility, data, whether it is protected, and what its members answered."""

    images = Bundle("images")

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        here = Path(self.folder.name)
        self.backend = FileBackend(here / "images")
        self.cloud = ApiCloud(here, [service], parts=[self.backend, ImageSettings()])
        self.client = {name: self.cloud.caller(name, "member") for name in PROJECTS}
        self.id_of = {name: self.cloud.project_id(name) for name in PROJECTS}
        self.known: dict[str, dict[str, Any]] = {}

    def teardown(self) -> None:
        if hasattr(self, "cloud"):
            self.cloud.__exit__(None, None, None)
            self.folder.cleanup()

    def sees(self, project: str, image_id: str) -> bool:
        image = self.known.get(image_id)
        if image is None:
            return False
        open_to_all = image["visibility"] in ("public", "community")
        member = image["visibility"] == "shared" and project in image["members"]
        return open_to_all or image["owner"] == project or member

    def expected(self, project: str, image_id: str, allowed: int) -> int:
        """The status of a change: only the owner may, others are told that they may not or that it is not there."""
        if not self.sees(project, image_id):
            return 404
        return allowed if self.known[image_id]["owner"] == project else 403

    @rule(target=images, project=projects, visibility=st.sampled_from(VISIBILITIES[:3]))
    def create(self, project: str, visibility: str) -> str:
        fields = {"disk_format": "raw", "container_format": "bare", "visibility": visibility}
        image_id = str(self.client[project].post(IMAGES, fields).body["id"])
        self.known[image_id] = {
            "owner": project, "visibility": visibility, "data": None, "protected": False, "members": {},
        }  # fmt: skip
        return image_id

    @rule(image_id=images, project=projects, data=st.binary(min_size=0, max_size=2000))
    def upload(self, image_id: str, project: str, data: bytes) -> None:
        answer = put(self.client[project], image_id, b"x" * 64 + data if data else b"")
        expected = self.expected(project, image_id, 204)
        if expected == 204 and self.known[image_id]["data"] is not None:
            expected = 409
        elif expected == 204 and not data:
            expected = 400
        assert answer.status == expected
        if expected == 204:
            self.known[image_id]["data"] = b"x" * 64 + data

    @rule(image_id=images, project=projects, visibility=visibilities)
    def change_visibility(self, image_id: str, project: str, visibility: str) -> None:
        operation = {"op": "replace", "path": "/visibility", "value": visibility}
        expected = self.expected(project, image_id, 200)
        if expected == 200 and self.known[image_id]["visibility"] != visibility:
            # What is public, or is to be, is for administrators.
            expected = 403 if "public" in (visibility, self.known[image_id]["visibility"]) else 200
        assert patch(self.client[project], image_id, operation).status == expected
        if expected == 200:
            self.known[image_id]["visibility"] = visibility

    @rule(image_id=images)
    def publish(self, image_id: str) -> None:
        operation = {"op": "replace", "path": "/visibility", "value": "public"}
        status = patch(self.cloud.admin, image_id, operation).status
        assert status == (200 if image_id in self.known else 404)
        if image_id in self.known:
            self.known[image_id]["visibility"] = "public"

    @rule(image_id=images, project=projects, protected=st.booleans())
    def protect(self, image_id: str, project: str, protected: bool) -> None:
        operation = {"op": "replace", "path": "/protected", "value": protected}
        status = patch(self.client[project], image_id, operation).status
        assert status == self.expected(project, image_id, 200)
        if status == 200:
            self.known[image_id]["protected"] = protected

    @rule(image_id=images, project=projects, member=projects)
    def share(self, image_id: str, project: str, member: str) -> None:
        answer = self.client[project].post(f"{IMAGES}/{image_id}/members", {"member": self.id_of[member]})
        expected = self.expected(project, image_id, 200)
        if expected == 200:
            image = self.known[image_id]
            expected = 403 if image["visibility"] != "shared" else 409 if member in image["members"] else 200
        assert answer.status == expected
        if expected == 200:
            self.known[image_id]["members"][member] = "pending"

    @rule(image_id=images, project=projects, word=st.sampled_from(["accepted", "rejected", "pending"]))
    def answer(self, image_id: str, project: str, word: str) -> None:
        here = f"{IMAGES}/{image_id}/members/{self.id_of[project]}"
        status = self.client[project].put(here, {"status": word}).status
        if not self.sees(project, image_id):
            assert status == 404
        elif self.known[image_id]["visibility"] != "shared":
            assert status == 403
        elif project not in self.known[image_id]["members"]:
            assert status == 404
        else:
            assert status == 200
            self.known[image_id]["members"][project] = word

    @rule(image_id=images, project=projects, member=projects)
    def unshare(self, image_id: str, project: str, member: str) -> None:
        status = self.client[project].delete(f"{IMAGES}/{image_id}/members/{self.id_of[member]}").status
        image = self.known.get(image_id)
        if image is not None and image["owner"] == project and image["visibility"] == "shared":
            assert status == (204 if member in image["members"] else 404)
            image["members"].pop(member, None)
        else:
            assert status in (403, 404)

    @rule(image_id=consumes(images), project=projects)
    def delete(self, image_id: str, project: str) -> None:
        expected = self.expected(project, image_id, 204)
        if expected == 204 and self.known[image_id]["protected"]:
            expected = 403
        assert self.client[project].delete(f"{IMAGES}/{image_id}").status == expected
        if expected == 204:
            del self.known[image_id]

    @invariant()
    def everyone_sees_what_it_should(self) -> None:
        for project, client in getattr(self, "client", {}).items():
            listed = {image["id"]: image for image in client.get(IMAGES, visibility="all").body["images"]}
            accepted = {
                image_id
                for image_id, image in self.known.items()
                if image["owner"] == project
                or image["visibility"] in ("public", "community")
                or (image["visibility"] == "shared" and image["members"].get(project) == "accepted")
            }
            assert set(listed) == accepted
            for image_id, image in self.known.items():
                assert (client.get(f"{IMAGES}/{image_id}").status == 200) is self.sees(project, image_id)
                if image_id in listed:
                    assert listed[image_id]["status"] == ("queued" if image["data"] is None else "active")

    @invariant()
    def the_bytes_are_those_of_active_images(self) -> None:
        if hasattr(self, "backend"):
            stored = {image_id: image["data"] for image_id, image in self.known.items() if image["data"] is not None}
            assert self.backend.usage().images == len(stored)
            for image_id, data in stored.items():
                assert self.backend.path(image_id).read_bytes() == data


TestImageMachine = ImageMachine.TestCase
TestImageMachine.settings = settings(
    max_examples=12, stateful_step_count=25, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
