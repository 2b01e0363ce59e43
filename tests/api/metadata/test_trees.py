"""Both trees, read as cloud-init reads them, and path by path as Nova serves them."""

import base64
import json
from collections.abc import Callable

import msgspec
import pytest

from polyvisor.api.metadata.ec2 import VERSIONS as EC2_VERSIONS
from polyvisor.api.metadata.tree import look_up, tokens_of
from polyvisor.hypervisor.config_drive import contents
from polyvisor.model.instance_metadata import VERSIONS, Instance
from polyvisor.model.metadata import MetadataAnswer
from polyvisor.model.nic import Nic, NicAddress
from polyvisor.model.order import ServerCreate
from polyvisor.model.place import PlaceRequest
from polyvisor.operate.guest import specification
from tests.api.metadata import crawl
from tests.api.metadata.estate import GENEVE, KEY, USER_DATA, server, uid

NIC = Nic(
    port_id=uid("port"), network_id=uid("net"), network_name="net", project_id="p", mac_address="fa:16:3e:00:00:01",
    mtu=1442, segment=GENEVE, tag="front",
    addresses=(
        NicAddress(subnet_id=uid("v6"), ip_version=6, address="2001:db8::5", cidr="2001:db8::/64", gateway=None),
        NicAddress(subnet_id=uid("v4"), ip_version=4, address="10.0.0.5", cidr="10.0.0.0/24", gateway="10.0.0.1"),
    ),
)  # fmt: skip
WHOLE = Instance(
    server=server("web", "p"), nics=(NIC,), security_groups=("default", "web"),
    floating_ips=("2001:db8:f::1", "198.51.100.7"), password="c2VjcmV0",
)  # fmt: skip
BARE = Instance(
    server=server("bare", "p", image=None, key_name=None, key_data="", user_data="", metadata={}),
)


def getting(instance: Instance) -> Callable[[str], MetadataAnswer]:
    """Asks for a path."""

    def get(path: str) -> MetadataAnswer:
        found = look_up(instance, tokens_of(path), lambda: b"seed")
        if found is None:
            return MetadataAnswer(status=404)
        return MetadataAnswer(status=200, body=found.body, content_type=found.content_type)

    return get


def text(path: str, instance: Instance = WHOLE) -> str | None:
    """What is answered, or None for a 404."""
    answer = getting(instance)(path)
    return answer.body.decode() if answer.status == 200 else None


def test_cloud_init_s_openstack_source_finds_all_that_it_reads() -> None:
    found = crawl.openstack(getting(WHOLE))
    assert found["version"] == "2018-08-27"
    meta = found["meta_data.json"]
    assert (meta["uuid"], meta["hostname"], meta["name"]) == (uid("web"), "web", "web")
    assert meta["public_keys"] == {"laptop": KEY}
    assert meta["keys"] == [{"name": "laptop", "type": "ssh", "data": KEY}]
    assert (meta["meta"], meta["availability_zone"], meta["project_id"]) == ({"role": "web"}, "nova", "p")
    assert base64.b64decode(meta["random_seed"]) == b"seed"
    assert meta["devices"] == [
        {"type": "nic", "bus": "none", "address": "none", "mac": "fa:16:3e:00:00:01", "tags": ["front"]}
    ]
    assert found["user_data"] == USER_DATA
    assert found["vendor_data.json"] == found["vendor_data2.json"] == {}
    [link] = found["network_data.json"]["links"]
    assert (link["ethernet_mac_address"], link["mtu"]) == ("fa:16:3e:00:00:01", 1442)
    assert {network["link"] for network in found["network_data.json"]["networks"]} == {link["id"]}
    assert found["ec2"]["block-device-mapping"] == {"ami": "vda", "root": "/dev/vda"}


def test_cloud_init_s_ec2_source_finds_all_that_it_reads() -> None:
    found = crawl.ec2(getting(WHOLE))
    image, id = uid("image").replace("-", "")[:17], uid("web").replace("-", "")[:17]
    assert found == {
        "user-data": USER_DATA,
        "meta-data": {
            "ami-id": f"ami-{image}", "ami-launch-index": "0", "ami-manifest-path": "FIXME",
            "block-device-mapping": {"ami": "vda", "root": "/dev/vda"}, "hostname": "web", "instance-action": "none",
            "instance-id": f"i-{id}", "instance-type": "m1.tiny", "local-hostname": "web", "local-ipv4": "10.0.0.5",
            "placement": {"availability-zone": "nova"}, "public-hostname": "web", "public-ipv4": "198.51.100.7",
            "public-keys": {"laptop": KEY}, "reservation-id": "r-abc", "security-groups": "default\nweb",
        },
    }  # fmt: skip


def test_a_server_with_nothing_of_its_own_is_told_the_rest() -> None:
    found = crawl.openstack(getting(BARE))
    assert "user_data" not in found
    assert not {"public_keys", "keys"} & set(found["meta_data.json"])
    tree = crawl.ec2(getting(BARE))
    assert "user-data" not in tree
    assert not {"public-keys", "ami-id"} & set(tree["meta-data"])
    assert tree["meta-data"]["local-ipv4"] == tree["meta-data"]["public-ipv4"] == ""


@pytest.mark.parametrize(
    ("path", "listed"),
    [
        ("/", "\n".join((*EC2_VERSIONS, "latest"))),
        ("/latest", "meta-data/\nuser-data"),
        ("/ec2/2009-04-04/", "meta-data/\nuser-data"),
        ("//latest//meta-data/public-keys", "0=laptop"),
        ("/latest/meta-data/public-keys/0/", "openssh-key"),
        ("/latest/meta-data/placement", "availability-zone"),
        ("/openstack", "\n".join((*VERSIONS, "latest"))),
        ("/openstack/2012-08-10", "meta_data.json\nuser_data"),
        ("/openstack/2013-04-04/", "meta_data.json\nuser_data\npassword"),
        ("/openstack/2015-10-15", "meta_data.json\nuser_data\npassword\nvendor_data.json\nnetwork_data.json"),
        (
            "/openstack/latest",
            "meta_data.json\nuser_data\npassword\nvendor_data.json\nnetwork_data.json\nvendor_data2.json",
        ),
        ("/openstack/latest/password", "c2VjcmV0"),
        ("/latest/meta-data/%6cocal-ipv4", "10.0.0.5"),
    ],
)  # fmt: skip
def test_what_a_path_says(path: str, listed: str) -> None:
    assert text(path) == listed


@pytest.mark.parametrize(
    "path",
    [
        "/1999-01-01", "/latest/meta-data/none", "/latest/meta-data/hostname/deeper", "/latest/dynamic",
        "/latest/meta-data/public-keys/0/_name", "/latest/meta-data/public-keys/1", "/openstack/1999-01-01",
        "/openstack/1999-01-01/meta_data.json", "/openstack/latest/none", "/openstack/latest/meta_data.json/deeper",
        "/openstack/content/0000", "/openstack/2012-08-10/password", "/openstack/2013-10-17/network_data.json",
        "/openstack/2015-10-15/vendor_data2.json", "/1.0/meta-data/public-ipv4", "/2007-12-15/meta-data/placement",
        "/latest/api/token",
    ],
)  # fmt: skip
def test_what_there_is_not(path: str) -> None:
    assert text(path) is None


def test_nobody_climbs_out_of_the_tree() -> None:
    assert text("/../../latest/meta-data/../meta-data/hostname") == "web"


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/openstack/latest/meta_data.json", "application/json"),
        ("/openstack/latest/network_data.json", "application/json"),
        ("/openstack/latest/vendor_data2.json", "application/json"),
        ("/openstack/latest/user_data", "application/octet-stream"),
        ("/latest/user-data", "application/octet-stream"),
        ("/openstack", "text/plain; charset=UTF-8"),
        ("/latest/meta-data/hostname", "text/plain; charset=UTF-8"),
    ],
)
def test_what_it_is(path: str, content_type: str) -> None:
    assert getting(WHOLE)(path).content_type == content_type


@pytest.mark.parametrize("version", ["2018-08-27", "latest"])
def test_the_config_drive_says_the_same(version: str) -> None:
    order = ServerCreate(
        server=WHOLE.server, project_name="p", admin_password="opensesame",
        request=PlaceRequest(
            server_id=WHOLE.server.id, project_id="p", vcpus=1, memory_mib=1, disk_gib=1, image=WHOLE.server.image
        ),
    )  # fmt: skip
    drive = contents(specification(order, "nova", WHOLE.nics))
    folder = f"openstack/{version}/"
    names = {path.removeprefix(folder) for path in drive if path.startswith(folder)}
    served = set((text(f"/{folder}") or "").split())
    assert served - names == {"password"}
    assert names <= served
    for name in sorted(names - {"user_data"}):
        told = json.loads(text(folder + name) or "")
        written = json.loads(drive[folder + name])
        # A seed for the guest's random generator is new each time; the password for the administrator is on no record.
        told.pop("random_seed", None)
        assert written.pop("admin_pass", None) == ("opensesame" if name == "meta_data.json" else None)
        assert told == written, name
    assert drive[folder + "user_data"] == USER_DATA


def test_user_data_that_is_no_base64_is_left_out() -> None:
    broken = msgspec.structs.replace(BARE, server=server("bare", "p", user_data="%"))
    assert text("/latest/user-data", broken) is None
