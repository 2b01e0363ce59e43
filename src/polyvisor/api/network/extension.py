"""Extensions: the names under which clients look for what this service offers, and no other."""

from typing import Any

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.form import selected
from polyvisor.model.errors import NotFound

extensions = Resource("/extensions")

RULES = [Rule(name="get_extension", check="@", description="List what the Networking API offers beyond its core.")]

OFFERED = {
    "address-group": ("Address group", "Ranges of addresses that rules of security groups name together."),
    "address-scope": ("Address scope", "Scopes within which no two subnet pools have addresses in common."),
    "agent": ("agent", "What plugs ports at hosts."),
    "allowed-address-pairs": ("Allowed Address Pairs", "Addresses that a port may send from besides its own."),
    "auto-allocated-topology": ("Auto Allocated Topology Services", "Networks for projects that name none."),
    "availability_zone": ("Availability Zone", "The zones of hosts, for networks and routers."),
    "binding": ("Port Binding", "Where ports are plugged."),
    "binding-extended": ("Port Bindings Extended", "Hosts that ports are prepared for."),
    "default-subnetpools": ("Default Subnetpools", "Subnets of the default pool."),
    "dns-domain-ports": ("dns_domain for ports", "A domain for each port."),
    "dns-integration": ("DNS Integration", "Names of ports, and the domains of networks."),
    "empty-string-filtering": ("Empty String Filtering Extension", "Filters for what is empty."),
    "expose-port-forwarding-in-fip": (
        "Expose Port Forwarding in FIP",
        "Floating IPs with the ports that they hand on.",
    ),
    "ext-gw-mode": ("Neutron L3 Configurable external gateway mode", "Gateways that translate addresses, or do not."),
    "external-net": ("Neutron external network", "Networks for gateways and floating IPs."),
    "extra_dhcp_opt": ("Neutron Extra DHCP options", "DHCP options of single ports."),
    "extraroute": ("Neutron Extra Route", "Routes of routers."),
    "extraroute-atomic": ("Atomically add/remove extra routes", "Routes added and removed one by one."),
    "filter-validation": ("Filter parameters validation", "Filters that are not known are refused."),
    "fip-port-details": ("Floating IP Port Details Extension", "Floating IPs with their ports."),
    "floating-ip-port-forwarding": ("Floating IP Port Forwarding", "Ports of floating IPs that are handed on."),
    "floating-ip-port-forwarding-description": ("Floating IP Port Forwarding support description", "What for."),
    "floating-ip-port-forwarding-detail": ("Floating IP Port Forwarding support detail", "Which ports, by their ids."),
    "floating-ip-port-forwarding-port-ranges": ("Floating IP Port Forwarding support range ports", "Ranges of ports."),
    "ip-substring-filtering": ("IP address substring filtering", "Ports by a part of an address."),
    "ip_allocation": ("IP Allocation", "Whether a port has addresses."),
    "multi-provider": ("Multi Provider Network", "Networks of several segments."),
    "net-mtu": ("Network MTU", "The largest packet that a network carries."),
    "net-mtu-writable": ("Network MTU (writable)", "Smaller packets than a network could carry."),
    "network-ip-availability": ("Network IP Availability", "How many addresses of networks are in use."),
    "network_availability_zone": ("Network Availability Zone", "Zones that a network is made for."),
    "pagination": ("Pagination support", "Lists in pages, in both directions."),
    "port-mac-address-override": ("Port MAC address override", "MAC addresses of ports that are not bound."),
    "port-security": ("Port Security", "Ports that may send from their own addresses alone."),
    "project-id": ("project_id field enabled", "Projects by project_id as well as tenant_id."),
    "provider": ("Provider Network", "The segment of a network, for administrators."),
    "qos": ("Quality of Service", "Limits of bandwidth, and marks, for ports and networks."),
    "qos-bw-limit-direction": ("Direction for QoS bandwidth limit rule", "Limits for each direction."),
    "qos-default": ("QoS default policy", "A policy that new networks of a project are under."),
    "qos-rules-alias": ("QoS rules alias", "Rules of policies by their ids alone."),
    "qos-rule-type-details": ("Details of QoS rule types", "What the rules of each kind take."),
    "quota-check-limit": ("Quota engine limit check", "Quotas that are compared with what is used."),
    "quota-check-limit-default": ("Quota engine limit check by default", "Quotas below what is used need force."),
    "quota_details": ("Quota details management support", "What projects use of their quotas."),
    "quotas": ("Quota management support", "Quotas of projects."),
    "rbac-address-group": ("Add address group type to RBAC", "Address groups for other projects."),
    "rbac-address-scope": ("Address scope RBAC", "Address scopes for other projects."),
    "rbac-policies": ("RBAC Policies", "Networks for other projects."),
    "rbac-security-groups": ("Add security_group type to network RBAC", "Security groups for other projects."),
    "rbac-subnetpool": ("Subnetpool RBAC", "Subnet pools for other projects."),
    "revision-if-match": ("If-Match constraints based on revision_number", "Changes of one revision alone."),
    "router": ("Neutron L3 Router", "Routers, and floating IPs."),
    "security-group": ("security-group", "Which packets ports send and receive."),
    "security-groups-default-rules": ("Default rules for security groups", "What new groups begin with."),
    "security-groups-normalized-cidr": ("Normalized CIDR field for security group rules", "Prefixes as networks."),
    "security-groups-remote-address-group": (
        "Remote address group id field for security group rules",
        "Rules by address groups.",
    ),
    "security-groups-rules-belongs-to-default-sg": (
        "Security group rules belongs to the default security group",
        "Rules of default groups.",
    ),
    "security-groups-shared-filtering": ("Security group filtering on the shared field", "Groups that others share."),
    "segment": ("Segment", "Segments of networks."),
    "service-type": ("Neutron Service Type Management", "Kinds of services to choose among, of which there are none."),
    "sorting": ("Sorting support", "Lists in an order of one's choice."),
    "standard-attr-description": ("standard-attr-description", "Descriptions of all records."),
    "standard-attr-revisions": ("Resource revision numbers", "Numbers that grow with each change."),
    "standard-attr-segment": ("Standard attributes of segments", "Revisions and times of segments."),
    "standard-attr-tag": ("Tag support for resources with standard attribute", "Tags, and lists by them."),
    "standard-attr-timestamp": ("Resource timestamps", "When records were made and changed."),
    "stateful-security-group": ("Stateful security group", "Groups that keep no connections in mind."),
    "subnet-dns-publish-fixed-ip": ("Subnet DNS publish fixed IP", "Subnets whose addresses DNS is to publish."),
    "subnet-service-types": ("Subnet service types", "Subnets for certain ports."),
    "subnet_allocation": ("Subnet Allocation", "Subnets of subnet pools."),
    "subnetpool-prefix-ops": ("Subnet Pool Prefix Operations", "Prefixes of pools, added and taken away."),
    "tag": ("Tag support", "Tags of networks."),
    "tag-creation": ("Tag creation extension", "Tags that records are made with."),
    "tag-ext": ("Tag support for resources: subnet, subnetpool, port, router", "Tags of more than networks."),
    "tag-ports-during-bulk-creation": ("Tag Ports During Bulk Creation", "Ports that are made with tags."),
    "trunk": ("Trunk Extension", "Ports that carry other ports' networks by VLAN tags."),
    "trunk-details": ("Trunk port details", "Ports tell of their trunks."),
    "uplink-status-propagation": ("Port Uplink Status Propagation", "Whether a port tells of its uplink."),
}
"""By alias: name and description."""


@extensions.route("GET", policy="get_extension")
def index(call: Call) -> Reply:
    """All of them."""
    return Reply(200, {"extensions": [selected(call, view(alias)) for alias in sorted(OFFERED)]})


@extensions.route("GET", "/{alias}", policy="get_extension")
def show(call: Call) -> Reply:
    """One of them."""
    alias = call.path["alias"]
    if alias not in OFFERED:
        raise NotFound(f"Extension with alias {alias} does not exist.", kind="ExtensionNotFound")
    return Reply(200, {"extension": selected(call, view(alias))})


def view(alias: str) -> dict[str, Any]:
    """An extension as the API shows it."""
    name, description = OFFERED[alias]
    return {
        "alias": alias,
        "name": name,
        "description": description,
        "updated": "2026-11-01T00:00:00-00:00",
        "links": [],
    }
