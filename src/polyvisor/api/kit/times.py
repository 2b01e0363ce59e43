"""Moments as OpenStack's services write and read them."""

from datetime import UTC, datetime

from polyvisor.model.errors import Invalid


def zulu(moment: datetime) -> str:
    """ "2026-11-21T04:00:00Z", as Nova and Glance write it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def zulu_micros(moment: datetime) -> str:
    """ "2026-11-21T04:00:00.000000Z", as Keystone writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def plain_micros(moment: datetime) -> str:
    """ "2026-11-21T04:00:00.000000", as Nova writes events and services."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")


def parse(text: str, name: str) -> datetime:
    """ISO 8601 in, aware UTC out; without a zone it is UTC. Raises Invalid, naming the field."""
    try:
        # A "+" that was not percent-encoded arrives as a space.
        moment = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text.strip())
    except ValueError:
        raise Invalid(f"'{name}' is invalid: a date and time in ISO 8601 is expected, not '{text[:64]}'.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
