"""Bodies checked by msgspec, with sentences that name the field and what is allowed there."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

from polyvisor.model.errors import Invalid

Decode = Callable[[bytes], Any]


@cache
def decoder(kind: Any, key: str | None) -> Decode:
    """A function from JSON bytes to `kind`; with `key`, the value stands alone under that key: {"server": {…}}.

    It raises Invalid with a sentence that names the field.
    """
    whole = kind
    if key is not None:
        whole = msgspec.defstruct(f"{key}_body", [("value", kind, msgspec.field(name=key))], forbid_unknown_fields=True)
    decode = msgspec.json.Decoder(whole).decode

    def checked(raw: bytes) -> Any:
        try:
            value = decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Invalid(sentence(error)) from None
        return value if key is None else value.value

    return checked


def single_action(raw: bytes) -> tuple[str, bytes]:
    """The name and the argument of an action body, {"os-start": null}. Raises Invalid unless it has exactly one key."""
    try:
        parts = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(sentence(error)) from None
    if len(parts) != 1:
        raise Invalid(
            'The body of an action is an object with one key, the action\'s name, such as {"os-start": null}.'
        )
    [(name, argument)] = parts.items()
    return name, bytes(argument)


_AT = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")
_FIELD = re.compile(r"Object (?P<what>missing required|contains unknown) field `(?P<field>[^`]*)`")
_PLAIN = {
    "object": "an object",
    "array": "a list",
    "str": "a string",
    "int": "an integer",
    "bool": "a boolean",
    "float": "a number",
    "datetime": "a date and time (ISO 8601)",
    "uuid": "a UUID",
    "bytes": "base64",
}


def sentence(error: Exception, prefix: str = "") -> str:
    """What is wrong with a body, for its sender: the field's path, and what is allowed there."""
    if not isinstance(error, msgspec.ValidationError):
        reason = "it is not UTF-8"
        if not isinstance(error, UnicodeDecodeError):
            reason = str(error).removeprefix("JSON is malformed: ")
        return f"The body is not valid JSON: {reason}."
    message = str(error)
    at = _AT.search(message)
    path = prefix + (at["path"] if at else "")
    path = path.lstrip(".")
    message = _AT.sub("", message)
    unknown = _FIELD.fullmatch(message)
    if unknown:
        full = f"{path}.{unknown['field']}" if path else unknown["field"]
        if unknown["what"] == "missing required":
            return f"The field '{full}' is required."
        return f"The field '{full}' is not known here. Additional properties are not allowed."
    subject = f"The field '{path}'" if path else "The body"
    return f"{subject} is invalid: {words(message)}."


def words(message: str) -> str:
    """msgspec's message in plain words, without the field it is about."""
    expected = re.fullmatch(r"Expected `(?P<kind>[^`]*)`(?P<rest>.*)", message, re.DOTALL)
    if expected is None:
        return message[:1].lower() + message[1:]
    kinds = " or ".join(_PLAIN.get(kind, kind) for kind in expected["kind"].split(" | "))
    rest = expected["rest"]
    got = re.fullmatch(r", got `([^`]*)`", rest)
    if got:
        return f"{kinds} is expected, not {_PLAIN.get(got[1], got[1])}"
    length = re.fullmatch(r" of length (<=|>=|==) (\d+)", rest)
    if length:
        bound = {"<=": "at most", ">=": "at least", "==": "exactly"}[length[1]]
        thing = {"a string": "characters", "a list": "items", "an object": "keys"}.get(kinds, "long")
        return f"{kinds} of {bound} {length[2]} {thing} is expected"
    compared = re.fullmatch(r" (<=|>=|<|>) (\S+)", rest)
    if compared:
        bound = {"<=": "at most", ">=": "at least", "<": "below", ">": "above"}[compared[1]]
        return f"{kinds} of {bound} {compared[2]} is expected"
    return f"{kinds}{rest} is expected"
