"""What the tests of other projects want to find in a cloud: their users, images and configuration files."""

import http.server
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openstack.connection import Connection

from tests.clients.cloud import ADMIN, RunningCloud

IMAGE_BYTES = 2 * 1024**2
DEVSTACK_FLAVORS = ("m1.tiny", "m1.small", "m1.medium", "m1.large", "m1.xlarge")
LOCKOUT_SECONDS = 6
TEMPEST_SETTINGS = f"[identity]\nlockout_seconds = {LOCKOUT_SECONDS}\n"
"""What the cloud's polyvisor.toml has to say: Tempest waits until the lock that it causes is over."""
_DOMAINS = {"user_domain_name": "Default", "project_domain_name": "Default"}


def devstack(cloud: RunningCloud, folder: Path, volumes_url: str) -> None:
    """Make what openstacksdk's functional tests expect of DevStack: flavors, an image, a volume service's address and
    an external network."""
    admin = cloud.sdk(ADMIN)
    for flavor in admin.compute.flavors():
        if flavor.name not in DEVSTACK_FLAVORS:  # its tests count them
            admin.compute.delete_flavor(flavor)
    public_image(admin, "cirros-0.6.3-x86_64-disk", folder)
    outside = admin.network.create_network(name="public", is_router_external=True, is_default=True)
    admin.network.create_subnet(network_id=outside.id, ip_version=4, cidr="203.0.113.0/24", enable_dhcp=False)
    volumes = admin.identity.create_service(type="block-storage", name="volumes")
    admin.identity.create_endpoint(
        service_id=volumes.id, interface="public", region_id="RegionOne", url=f"{volumes_url}/v3"
    )
    # The tests upload this file of the SDK's own source tree as an image.
    (folder / "CONTRIBUTING.rst").write_text("Some text.\n" * 100)


def devstack_clouds(cloud: RunningCloud, file: Path, alternative: dict[str, Any], **options: str) -> dict[str, str]:
    """Write DevStack's four clouds with `options` for each; returns the tests' environment."""
    known = json.loads(cloud.clouds_file.read_text().partition("\n")[2])["clouds"]
    operator, member = known[ADMIN]["auth"], known["polyvisor"]["auth"]
    system = {name: operator[name] for name in ("auth_url", "username", "password", "user_domain_name")}
    clouds = {
        "devstack": member,
        "devstack-alt": {**member, **alternative},
        "devstack-admin": operator,
        "devstack-system-admin": {**system, "system_scope": "all"},
    }
    same = {"region_name": "RegionOne", "identity_api_version": "3", **options}
    file.write_text(json.dumps({"clouds": {name: {"auth": auth, **same} for name, auth in clouds.items()}}))
    return {"OS_CLIENT_CONFIG_FILE": str(file), "OPENSTACKSDK_FUNC_TEST_TIMEOUT": "60"}


def public_image(admin: Connection, name: str, folder: Path, disk_format: str = "qcow2") -> str:
    """Make an image that everybody may boot from; returns its id."""
    content = folder / f"{name}.{disk_format}"
    content.write_bytes(_empty_qcow2() if disk_format == "qcow2" else bytes(IMAGE_BYTES))
    image = admin.image.create_image(
        name=name, filename=str(content), disk_format=disk_format, container_format="bare", visibility="public"
    )
    return str(image.id)


def another_user(admin: Connection, name: str) -> dict[str, Any]:
    """A member of a project of its own; returns what clouds.yaml has to know."""
    password = secrets.token_urlsafe(12)
    project = admin.identity.create_project(name=name, domain_id="default")
    user = admin.identity.create_user(name=name, password=password, domain_id="default")
    role = admin.identity.find_role("member", ignore_missing=False)
    admin.identity.assign_project_role_to_user(project, user, role)
    return {"username": name, "password": password, "project_name": name, **_DOMAINS}


def _empty_qcow2() -> bytes:
    """A qcow2 of version 3 whose virtual disk is all zeros, by its specification."""
    cluster = 65536
    header = bytearray(4 * cluster)
    fields = (
        (0, 4, 0x514649FB), (4, 4, 3), (20, 4, 16), (24, 8, IMAGE_BYTES), (36, 4, 1), (40, 8, 3 * cluster),
        (48, 8, cluster), (56, 4, 1), (96, 4, 4), (100, 4, 104), (cluster, 8, 2 * cluster),
    )  # fmt: skip
    for offset, length, value in fields:
        header[offset : offset + length] = value.to_bytes(length, "big")
    for number in range(4):  # every cluster of this file is used once
        at = 2 * cluster + 2 * number
        header[at : at + 2] = (1).to_bytes(2, "big")
    return bytes(header)


@contextmanager
def empty_volume_service() -> Iterator[str]:
    """The address of a volume service that has a version document, and nothing else.

    openstacksdk's compute tests skip themselves where the catalogue names no block storage, although they use none.
    """
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _VersionOnly) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _VersionOnly(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        host = self.headers["Host"]
        version = {
            "id": "v3.0",
            "status": "CURRENT",
            "version": "3.0",
            "min_version": "3.0",
            "links": [{"rel": "self", "href": f"http://{host}/v3/"}],
        }
        known = self.path.rstrip("/") in ("", "/v3")
        body = json.dumps({"versions": [version]} if known else {"itemNotFound": {"code": 404}}).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


def neutron_tempest_plugin(cloud: RunningCloud, folder: Path) -> dict[str, str]:
    """Write Tempest's configuration for the tests of its plugin for Neutron, which make their networks themselves."""
    return tempest(
        cloud,
        folder,
        auth={"create_isolated_networks": False},
        neutron_plugin_options={"available_type_drivers": "geneve,vlan,flat", "create_shared_resources": True},
    )


def tempest(cloud: RunningCloud, folder: Path, **more: dict[str, object]) -> dict[str, str]:
    """Write Tempest's configuration for this cloud, with `more` by its sections; returns its environment."""
    admin = cloud.sdk(ADMIN)
    auth = json.loads(cloud.clouds_file.read_text().partition("\n")[2])["clouds"][ADMIN]["auth"]
    images = [public_image(admin, name, folder, "raw") for name in ("tempest", "tempest-alt")]
    outside = admin.network.create_network(name="public", is_router_external=True, is_default=True)
    admin.network.create_subnet(network_id=outside.id, ip_version=4, cidr="203.0.113.0/24", enable_dhcp=False)
    sections: dict[str, dict[str, object]] = {
        "DEFAULT": {"log_dir": folder, "use_stderr": False},
        "oslo_concurrency": {"lock_path": folder / "locks"},
        "auth": {
            "admin_username": auth["username"],
            "admin_password": auth["password"],
            "admin_project_name": auth["project_name"],
            "admin_domain_name": "Default",
            "use_dynamic_credentials": True,
            "create_isolated_networks": True,
            "tempest_roles": "member",
        },
        "identity": {
            "uri_v3": auth["auth_url"],
            "auth_version": "v3",
            "region": "RegionOne",
            "user_lockout_failure_attempts": 6,
            "user_lockout_duration": LOCKOUT_SECONDS,
            "user_unique_last_password_count": 0,
        },
        "identity-feature-enabled": {"security_compliance": True},
        "compute": {
            "image_ref": images[0],
            "image_ref_alt": images[1],
            "flavor_ref": "42",
            "flavor_ref_alt": "1",
            "build_interval": 1,
            "max_microversion": "latest",
        },
        "service_available": {"neutron": True, "cinder": False, "glance": True, "nova": True, "swift": False},
        "network": {
            "public_network_id": outside.id,
            "floating_network_name": outside.name,
            "project_network_cidr": "10.100.0.0/16",
        },
        "network-feature-enabled": {
            "api_extensions": ",".join(each.alias for each in admin.network.extensions()),
            "ipv6": True,
            "ipv6_subnet_attributes": True,
            "port_security": True,
        },
        "validation": {"run_validation": False},
        # Tempest uploads random bytes: of those, this cloud takes none for an image but a raw one.
        "image": {"disk_formats": "raw", "container_formats": "bare"},
        "image-feature-enabled": {"image_format_enforcement": False},
        # What this cloud does not do yet; a test of it is skipped, and counted as not passed.
        "compute-feature-enabled": {
            "resize": False,
            "snapshot": False,
            "rescue": False,
            "shelve": False,
            "live_migration": False,
            "cold_migration": False,
            "attach_encrypted_volume": False,
            "vnc_console": False,
            "personality": False,
        },
    }
    for section, values in more.items():
        sections[section] = sections.get(section, {}) | values
    lines = [
        line
        for section, values in sections.items()
        for line in (f"[{section}]", *(f"{name} = {value}" for name, value in values.items()))
    ]
    (folder / "tempest.conf").write_text("\n".join(lines) + "\n")
    return {"TEMPEST_CONFIG_DIR": str(folder), "TEMPEST_CONFIG": "tempest.conf"}
