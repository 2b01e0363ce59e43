"""The settings of a vSphere connection refuse what cannot work, and keep the password to themselves."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from polyvisor.hypervisor.vsphere.settings import VsphereSettings


def settings(**changes: Any) -> VsphereSettings:
    return VsphereSettings(**{"host": "vc.example.com", "password": "secret", **changes})


@pytest.mark.parametrize(
    ("host", "endpoint"),
    [
        ("vc.example.com", ("vc.example.com", 443)),
        ("10.0.0.5:8443", ("10.0.0.5", 8443)),
        ("https://vc.example.com/sdk", ("vc.example.com", 443)),
        ("https://[fd00::5]:8443", ("fd00::5", 8443)),
    ],
)
def test_the_host_may_be_a_name_an_address_or_a_url(host: str, endpoint: tuple[str, int]) -> None:
    assert settings(host=host).endpoint == endpoint


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"host": ""}, "needs `host`"),
        ({"password": ""}, "password_file"),
        ({"thumbprint": "ab:cd"}, "SHA-256"),
        ({"ca_file": "/ca.pem", "insecure": True}, "Give one of"),
        ({"thumbprint": "00" * 32, "insecure": True}, "Give one of"),
        ({"datastore_regex": "("}, "no regular expression"),
        ({"disk_provisioning": "fat"}, "disk_provisioning"),
        ({"switches": {"physnet1": ""}}, "physnet1"),
        ({"switches": {"physnet1": ()}}, "physnet1"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_in_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        settings(**changes)


def test_a_certificate_is_checked_unless_told_otherwise() -> None:
    assert not settings().insecure


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(settings())
    assert "secret" not in str(settings())


def test_the_password_file_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "password"
    record = settings(password="", password_file=str(file))
    for password in ("first", "second"):
        file.write_text(f"{password}\n")
        assert record.secret() == password


def test_reading_settings_does_not_import_pyvmomi() -> None:
    program = "import sys, polyvisor.hypervisor.vsphere.settings; sys.exit('pyVmomi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_physical_network_may_be_on_one_switch_or_on_several() -> None:
    told = {
        "host": "vc",
        "password": "p",
        "switches": {"a": "DSwitch", "b": ["One", "Two"]},
        "security_groups": "strict",
    }
    found = msgspec.convert(told, VsphereSettings)
    assert [found.switch_titles(name) for name in "abc"] == [("DSwitch",), ("One", "Two"), ()]
    with pytest.raises(msgspec.ValidationError, match="security_groups"):
        msgspec.convert({**told, "security_groups": "perhaps"}, VsphereSettings)
