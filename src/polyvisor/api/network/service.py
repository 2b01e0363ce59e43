"""The Networking service, version 2.0."""

from polyvisor.api.kit import Service
from polyvisor.api.kit.errors import neutron_form
from polyvisor.api.network import (
    address_group,
    address_scope,
    network,
    port,
    security_group,
    security_group_rule,
    segment,
    subnet,
    subnet_create,
    subnet_pool,
    tag,
)
from polyvisor.api.network.tag import tags_of
from polyvisor.api.network.version import neutron_root, neutron_version

_NOUNS = (
    address_group,
    address_scope,
    network,
    port,
    security_group,
    security_group_rule,
    segment,
    subnet,
    subnet_create,
    subnet_pool,
    tag,
)

service = Service(
    "network",
    "/network",
    "/v2.0",
    resources=[
        address_group.address_groups,
        tags_of("/address-groups", lambda call: call.store.address_group),
        address_scope.address_scopes,
        network.networks,
        tags_of("/networks", lambda call: call.store.network),
        port.ports,
        tags_of("/ports", lambda call: call.store.port),
        security_group.security_groups,
        tags_of("/security-groups", lambda call: call.store.security_group),
        security_group_rule.security_group_rules,
        tags_of("/security-group-rules", lambda call: call.store.security_group_rule),
        segment.segments,
        subnet.subnets,
        subnet_create.subnet_create,
        tags_of("/subnets", lambda call: call.store.subnet),
        subnet_pool.subnet_pools,
        tags_of("/subnetpools", lambda call: call.store.subnet_pool),
    ],
    rules=[rule for noun in _NOUNS for rule in noun.RULES],
    root_document=neutron_root,
    version_document=neutron_version,
    error_form=neutron_form,
)
