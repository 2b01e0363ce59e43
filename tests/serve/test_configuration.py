"""polyvisor.toml: what it may say, and the sentences for what it may not."""

from pathlib import Path

import pytest

from polyvisor.model.errors import Invalid
from polyvisor.serve.configuration import Configuration, listen_address, parse, read
from polyvisor.serve.hypervisors import make_driver
from polyvisor.serve.settings_reference import reference

PAGE = Path(__file__).parents[2] / "docs/reference/settings.md"


def test_an_empty_file_gives_every_default() -> None:
    assert parse("") == Configuration()


def test_a_hypervisor_keeps_the_settings_of_its_driver() -> None:
    found = parse('[[hypervisor]]\nname = "lab"\ndriver = "simulated"\nhosts = 3\n')
    [hypervisor] = found.hypervisor
    assert (hypervisor.name, hypervisor.driver, hypervisor.settings) == ("lab", "simulated", {"hosts": 3})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("listen = 5000", "Expected `str`, got `int` - at `$.listen`"),
        ("lisen = '127.0.0.1:1'", "unknown field `lisen`"),
        ("[compute]\ndefault_zone = 1", "$.compute.default_zone"),
        ("[[hypervisor]]\ndriver = 'kvm'", "missing required field `name`"),
        ("[hypervisor]\nname = 'x'", "[[hypervisor]]"),
        (
            "[[hypervisor]]\nname='a'\ndriver='kvm'\n[[hypervisor]]\nname='a'\ndriver='kvm'",
            "two hypervisors are named 'a'",
        ),
        ("listen = ", "is not TOML"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, sentence: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(text)
    assert sentence in refused.value.sentence


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read"):
        read(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:5000", ("127.0.0.1", 5000)),
        ("[::1]:0", ("::1", 0)),
        ("cloud.example.com:443", ("cloud.example.com", 443)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    assert listen_address(text) == address


@pytest.mark.parametrize("text", ["5000", ":5000", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000"])
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Invalid, match=r"127\.0\.0\.1:5000"):
        listen_address(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("driver = 'xen'", "choose one of kvm, simulated, vsphere"),
        ("driver = 'simulated'\nhosts = 'many'", "hosts"),
        ("driver = 'simulated'\nhots = 1", "unknown field `hots`"),
        ("driver = 'vsphere'\nhost = 'vc'", "password_file"),
    ],
)
def test_a_driver_that_cannot_be_made_says_why(text: str, sentence: str, tmp_path: Path) -> None:
    [wanted] = parse(f"[[hypervisor]]\nname = 'lab'\n{text}\n").hypervisor
    with pytest.raises(Invalid) as refused:
        make_driver(wanted, "cloud", tmp_path)
    assert sentence in refused.value.sentence
    assert "lab" in refused.value.sentence


def test_every_setting_is_documented() -> None:
    """Regenerate with: polyvisor settings > docs/reference/settings.md"""
    assert PAGE.read_text(encoding="utf-8") == reference()
