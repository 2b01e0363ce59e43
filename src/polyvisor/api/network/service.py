"""The Networking service, version 2.0."""

from polyvisor.api.kit import Service
from polyvisor.api.kit.errors import neutron_form
from polyvisor.api.network import network, tag
from polyvisor.api.network.tag import tags_of
from polyvisor.api.network.version import neutron_root, neutron_version

_NOUNS = (
    network,
    tag,
)

service = Service(
    "network",
    "/network",
    "/v2.0",
    resources=[
        network.networks,
        tags_of("/networks", lambda call: call.store.network),
    ],
    rules=[rule for noun in _NOUNS for rule in noun.RULES],
    root_document=neutron_root,
    version_document=neutron_version,
    error_form=neutron_form,
)
