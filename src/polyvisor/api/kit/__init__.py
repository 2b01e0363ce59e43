"""What every service is built from: resources, calls, replies, policy, microversions, paging, errors, the HTTP edge."""

from polyvisor.api.kit.call import Call
from polyvisor.api.kit.microversion import Microversions
from polyvisor.api.kit.policy import Rule
from polyvisor.api.kit.query import NoQuery, Page
from polyvisor.api.kit.reply import Reply, StreamReply
from polyvisor.api.kit.resource import PUBLIC, Resource
from polyvisor.api.kit.service import Service
from polyvisor.api.kit.settings import ApiSettings

__all__ = [
    "PUBLIC",
    "ApiSettings",
    "Call",
    "Microversions",
    "NoQuery",
    "Page",
    "Reply",
    "Resource",
    "Rule",
    "Service",
    "StreamReply",
]
