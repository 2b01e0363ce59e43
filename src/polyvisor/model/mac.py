"""MAC addresses: read, written, and made."""

import re
from hashlib import blake2b

from polyvisor.model.errors import Invalid

_FORM = re.compile(r"(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}|[0-9a-f]{12}")


def canonical(text: str) -> str:
    """A MAC address as "fa:16:3e:00:00:01". Raises Invalid for what is none, or stands for many cards."""
    lowered = text.strip().lower()
    digits = lowered.replace(":", "").replace("-", "")
    if _FORM.fullmatch(lowered) is None or digits == "0" * 12 or int(digits[:2], 16) & 1:
        raise Invalid(f"'{text[:64]}' is not a valid MAC address.", kind="InvalidInput")
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def made_for(port_id: str, prefix: str, attempt: int) -> str:
    """The MAC address that a port gets at this attempt: `prefix`, and octets that follow from the port's id."""
    octets = [octet for octet in prefix.lower().split(":") if octet][:5]
    digest = blake2b(f"{port_id}/{attempt}".encode(), digest_size=6).hexdigest()
    octets += [digest[at : at + 2] for at in range(0, 2 * (6 - len(octets)), 2)]
    return ":".join(octets)
