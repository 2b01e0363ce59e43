"""Room in subnet pools: what is found is free, whole and inside, and is found as long as there is any."""

from ipaddress import IPv4Network, collapse_addresses, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvisor.model.subnet_pool_room import first_free, inside, merged, weight


@st.composite
def networks(draw: st.DrawFn, least: int = 20, most: int = 28) -> str:
    """A range within 10.0.0.0/20."""
    length = draw(st.integers(least, most))
    at = draw(st.integers(0, (1 << (length - 20)) - 1)) << (32 - length)
    return f"{IPv4Network((int(ip_network('10.0.0.0/20').network_address) + at, length))}"


@given(st.lists(networks(), min_size=1, max_size=12))
def test_merged_prefixes_are_the_fewest_that_hold_the_same_addresses(prefixes: list[str]) -> None:
    fewest = [str(each) for each in collapse_addresses(IPv4Network(each) for each in prefixes)]
    assert list(merged(prefixes)) == fewest


@given(st.lists(networks(), min_size=1, max_size=4), st.integers(22, 28), st.lists(networks(24, 28), max_size=10))
def test_what_is_free_is_inside_apart_and_found_where_there_is_any(
    prefixes: list[str], length: int, used: list[str]
) -> None:
    pool = merged(prefixes)
    taken = [IPv4Network(each) for each in used]
    candidates = [
        each
        for prefix in map(IPv4Network, pool)
        if prefix.prefixlen <= length
        for each in prefix.subnets(new_prefix=length)
        if not any(each.overlaps(other) for other in taken)
    ]
    found = first_free(pool, used, length)
    assert found == (str(min(candidates)) if candidates else None)
    if found is not None:
        assert inside(pool, found)


@pytest.mark.parametrize(
    ("cidr", "counted"), [("10.0.0.0/24", 256), ("fd00::/64", 1), ("fd00::/48", 65536), ("fd00::/80", 1)]
)
def test_a_quota_counts_addresses_or_networks_of_64_bits(cidr: str, counted: int) -> None:
    assert weight(cidr) == counted


def test_ranges_of_two_versions_have_nothing_in_common() -> None:
    assert merged(["fd00::/48", "10.0.0.0/9", "10.128.0.0/9"]) == ("10.0.0.0/8", "fd00::/48")
    assert not inside(["10.0.0.0/8"], "fd00::/64")
