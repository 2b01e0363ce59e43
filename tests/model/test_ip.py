"""Arithmetic of addresses: keys sort as addresses do, and pools hold what ports may have."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvisor.model.errors import Invalid
from polyvisor.model.ip import (
    after,
    default_pools,
    from_mac,
    key_of,
    numbered,
    ranges,
    read_address,
    read_network,
    usable,
)
from polyvisor.model.mac import canonical, made_for

V4 = st.ip_addresses(v=4).map(str)
V6 = st.ip_addresses(v=6).map(str)


@given(st.tuples(V4, V4) | st.tuples(V6, V6))
def test_keys_sort_as_addresses_do(pair: tuple[str, str]) -> None:
    one, two = pair
    assert (key_of(one) < key_of(two)) == (int(ip_address(one)) < int(ip_address(two)))
    version = 6 if ":" in one else 4
    assert numbered(int(key_of(one), 16), version) == one


@pytest.mark.parametrize(
    "cidr", ["10.0.0.0/29", "10.0.0.0/30", "10.0.0.0/31", "10.0.0.0/32", "fd00::/125", "fd00::/127"]
)
def test_default_pools_hold_every_usable_address_but_the_gateways(cidr: str) -> None:
    network = read_network(cidr)
    everyone = [str(each) for each in network if usable(str(each), cidr)]
    for gateway in (None, everyone[0], everyone[-1]):
        held = [
            numbered(number, network.version)
            for first, last in ranges(default_pools(cidr, gateway))
            for number in range(first, last + 1)
        ]
        assert held == [each for each in everyone if each != gateway]


@given(st.lists(st.integers(0, 60), unique=True, max_size=12), st.none() | st.integers(0, 61))
def test_addresses_come_in_turn_and_each_once(numbers: list[int], last: int | None) -> None:
    found = [(number, number) for number in sorted(numbers)]
    turn = [number for first, end in after(found, last) for number in range(first, end + 1)]
    assert sorted(turn) == sorted(numbers)
    if last is not None:
        assert turn == sorted(number for number in numbers if number > last) + sorted(
            number for number in numbers if number <= last
        )


def test_an_address_of_a_mac_address_has_its_seventh_bit_turned() -> None:
    # RFC 4291, appendix A.
    assert from_mac("2001:db8::/64", "34:56:78:9a:bc:de") == "2001:db8::3656:78ff:fe9a:bcde"


@pytest.mark.parametrize("text", ["fd00::1%eth0", "10.0.0", "", "1.2.3.4/24"])
def test_what_is_no_address_of_its_own_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_address(text)


@given(st.uuids().map(str), st.integers(0, 15), st.sampled_from(["fa:16:3e", "fa:16:3e:4f", "02"]))
def test_made_mac_addresses_begin_as_the_setting_says(id: str, attempt: int, prefix: str) -> None:
    made = made_for(id, prefix, attempt)
    assert canonical(made) == made
    assert made.startswith(prefix + ":")


@pytest.mark.parametrize("text", ["fa163e000001", "FA-16-3E-00-00-01", "fa:16:3e:00:00:01"])
def test_mac_addresses_are_kept_in_one_form(text: str) -> None:
    assert canonical(text) == "fa:16:3e:00:00:01"


@pytest.mark.parametrize("text", ["01:00:5e:00:00:01", "00:00:00:00:00:00", "fa:16:3e:00:00", "fa:16:3e:00:00:0g"])
def test_what_no_card_has_is_no_mac_address(text: str) -> None:
    with pytest.raises(Invalid):
        canonical(text)
