"""Servers that cannot be had: what the unmodified `openstack` client shows its user."""

from tests.clients.cloud import ADMIN, RunningCloud
from tests.clients.servers import IMAGE, Servers


def test_what_cannot_be_made_is_refused_with_a_sentence(cloud: RunningCloud, servers: Servers) -> None:
    """Each says what is wrong, and nothing is left of it."""
    assert "No Image found for nothing" in servers.refusal(image="nothing")
    assert "No Flavor found for nothing" in servers.refusal(flavor="nothing")
    cases = {
        ("--key-name", "nothing"): "you have no key pair 'nothing'",
        ("--availability-zone", "mars"): "there is none named mars",
        ("--boot-from-volume", "1"): "no block storage yet",
    }
    for options, sentence in cases.items():
        said = servers.refusal(*options)
        assert "400" in said
        assert sentence in said
    long = cloud.refusal("server", "create", "--image", IMAGE, "--flavor", "m1.nano", "--nic", "none", "x" * 256)
    assert "at most 255 characters" in long
    assert cloud.ask("server", "list", "--all-projects", cloud=ADMIN) == []


def test_where_no_network_can_be_made_the_user_is_told_what_to_do(cloud: RunningCloud, servers: Servers) -> None:
    [pool] = cloud.ask("subnet", "pool", "list", "--default", cloud=ADMIN)
    cloud.openstack("subnet", "pool", "set", "--no-default", pool["ID"], cloud=ADMIN)
    try:
        said = cloud.refusal("server", "create", "--image", IMAGE, "--flavor", "m1.nano", "refused")
    finally:
        cloud.openstack("subnet", "pool", "set", "--default", pool["ID"], cloud=ADMIN)
    assert "Unable to automatically allocate a network" in said
    assert "subnet pool create --default" in said
    assert "--nic none" in said
    assert cloud.ask("server", "list", "--all-projects", cloud=ADMIN) == []


def test_an_image_too_large_for_its_flavor_is_refused(cloud: RunningCloud, servers: Servers) -> None:
    cloud.openstack("image", "set", "--min-ram", "256", IMAGE, cloud=ADMIN)
    try:
        said = servers.refusal()
    finally:
        cloud.openstack("image", "set", "--min-ram", "0", IMAGE, cloud=ADMIN)
    assert "400" in said
    assert "it has 128 MiB, and the image asks for 256 MiB" in said


def test_a_project_cannot_have_more_than_its_quota(cloud: RunningCloud, servers: Servers) -> None:
    servers.boot("within")
    cloud.openstack("quota", "set", "--instances", "1", "demo", cloud=ADMIN)
    try:
        said = servers.refusal()
    finally:
        cloud.openstack("quota", "delete", "--compute", "demo", cloud=ADMIN)
    assert "403" in said
    assert "Quota exceeded" in said
    assert "instances" in said
    servers.boot("again")


def test_a_flavor_that_fits_nowhere_leaves_a_server_in_error_that_says_why(
    cloud: RunningCloud, servers: Servers
) -> None:
    """One sentence for the user; host by host for the administrator."""
    cloud.openstack("flavor", "create", "--ram", "128", "--disk", "1", "--vcpus", "4096", "huge", cloud=ADMIN)
    cloud.openstack("quota", "set", "--cores=-1", "demo", cloud=ADMIN)
    words = ("server", "create", "--image", IMAGE, "--flavor", "huge", "--nic", "none", "misfit")
    try:
        id = cloud.ask(*words)["id"]
        servers.reach(id, "ERROR")
    finally:
        cloud.openstack("flavor", "delete", "huge", cloud=ADMIN)
        cloud.openstack("quota", "delete", "--compute", "demo", cloud=ADMIN)
    fault = cloud.ask("server", "show", "misfit")["fault"]
    assert "simulated-0001" not in str(fault), "members do not see hosts"
    details = cloud.ask("server", "show", id, cloud=ADMIN)["fault"]["details"]
    for host in ("simulated-0001", "simulated-0002", "simulated-0003"):
        assert host in details


def test_another_projects_server_is_not_found(cloud: RunningCloud, servers: Servers) -> None:
    theirs = servers.boot("theirs", cloud=ADMIN)
    for words in (("show",), ("stop",), ("delete",), ("event", "list")):
        said = cloud.refusal("server", *words, theirs)
        assert "No Server found" in said or "404" in said
