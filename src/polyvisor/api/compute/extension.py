"""Extensions: the names under which old clients look for what this service offers, and no other."""

from typing import Any

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.model.errors import NotFound

extensions = Resource("/extensions")

_EXTENSIONS = "os_compute_api:extensions"
RULES = [Rule(name=_EXTENSIONS, check="@", description="List what the service offers beyond the oldest API.")]

_OFFERED = {
    "OS-EXT-IPS": ("ExtendedIps", "Whether a server's address is its own or stands for one."),
    "OS-EXT-IPS-MAC": ("ExtendedIpsMac", "The MAC address of the card that has a server's address."),
    "os-aggregates": ("Aggregates", "Host aggregates."),
    "os-attach-interfaces": ("AttachInterfaces", "Plugging ports into servers and taking them out."),
    "os-availability-zone": ("AvailabilityZone", "Availability zones, and servers that ask for one."),
    "os-config-drive": ("ConfigDrive", "Servers with a config drive."),
    "os-console-output": ("ConsoleOutput", "The log of a server's serial console."),
    "os-evacuate": ("Evacuate", "Bringing a server up elsewhere when its host is down."),
    "os-extended-availability-zone": ("ExtendedAvailabilityZone", "A server's availability zone."),
    "os-extended-server-attributes": ("ExtendedServerAttributes", "A server's host, for administrators."),
    "os-extended-status": ("ExtendedStatus", "A server's task, vm and power states."),
    "os-flavor-access": ("FlavorAccess", "Private flavors."),
    "os-flavor-extra-specs": ("FlavorExtraSpecs", "Extra specs of flavors."),
    "os-flavor-manage": ("FlavorManage", "Making and deleting flavors."),
    "os-hosts": ("Hosts", "Hosts in the form that old clients know."),
    "os-hypervisors": ("Hypervisors", "Hypervisors and what runs there."),
    "os-instance-actions": ("InstanceActions", "What was done to a server, with its events."),
    "os-keypairs": ("Keypairs", "Key pairs."),
    "os-migrations": ("Migrations", "The ways that servers went from host to host."),
    "os-pause-server": ("PauseServer", "Pausing servers."),
    "os-quota-class-sets": ("QuotaClasses", "The quotas that all projects begin with."),
    "os-quota-sets": ("Quotas", "Quotas of projects."),
    "os-security-group-rules": ("SecurityGroupRules", "Rules of security groups."),
    "os-security-groups": ("SecurityGroups", "Security groups, and those of servers' ports."),
    "os-server-usage": ("ServerUsage", "When a server was launched and ended."),
    "os-services": ("Services", "Services, and which hosts take servers."),
    "os-simple-tenant-usage": ("SimpleTenantUsage", "What projects used."),
    "os-suspend-server": ("SuspendServer", "Suspending servers."),
    "os-used-limits": ("UsedLimits", "How much of its limits a project uses."),
    "os-user-data": ("UserData", "User data for servers."),
}


@extensions.route("GET", policy=_EXTENSIONS, ignore_unknown_query=True)
def index(_call: Call) -> Reply:
    """All of them."""
    return Reply(200, {"extensions": [_view(alias) for alias in _OFFERED]})


@extensions.route("GET", "/{alias}", policy=_EXTENSIONS, ignore_unknown_query=True)
def show(call: Call) -> Reply:
    """One of them."""
    alias = call.path["alias"]
    if alias not in _OFFERED:
        raise NotFound(f"There is no extension {alias} here.")
    return Reply(200, {"extension": _view(alias)})


def _view(alias: str) -> dict[str, Any]:
    name, description = _OFFERED[alias]
    return {
        "alias": alias,
        "name": name,
        "description": description,
        "namespace": "http://docs.openstack.org/compute/ext/fake_xml",
        "updated": "2014-12-03T00:00:00Z",
        "links": [],
    }
