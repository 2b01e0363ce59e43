"""Address groups: two address sets each, which ACLs name."""

import ipaddress
from collections.abc import Iterator

from polyvisor.network.backend import Subject
from polyvisor.network.ovn.row import Row
from polyvisor.network.ovn.view import View


def rows(view: View, subject: Subject) -> Iterator[Row]:
    """One set by IP version: an ACL that names a set which is not there matches nothing and is complained of."""
    networks = [ipaddress.ip_network(each) for each in view.records.address_groups[subject.id].addresses]
    for version, number in (("ip4", 4), ("ip6", 6)):
        addresses = frozenset(str(each) for each in networks if each.version == number)
        yield Row(
            table="Address_Set",
            key=f"{subject.id} {version}",
            subject=subject,
            columns={"name": set_name(subject.id, version), "addresses": addresses},
        )


def set_name(group_id: str, version: str) -> str:
    """The set's name: OVN takes letters, digits and "_"."""
    return f"polyvisor_as_{group_id.replace('-', '_')}_{version}"
