"""Traits that a flavor or an image asks for, or rules out."""

from collections.abc import Mapping

from polyvisor.model.record import Record

TRAIT_PREFIX = "trait:"
_REQUIRED = "required"
_FORBIDDEN = "forbidden"


class TraitsAsked(Record):
    """The traits of a request, by os-traits' names."""

    required: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()


def traits_asked(*sources: Mapping[str, str]) -> TraitsAsked:
    """Collect `trait:X` = required / forbidden from extra specs and image properties.

    Raises ValueError with a sentence for another value, or a trait that is both.
    """
    found: dict[str, set[str]] = {_REQUIRED: set(), _FORBIDDEN: set()}
    for source in sources:
        for key, value in source.items():
            if not key.startswith(TRAIT_PREFIX):
                continue
            word = value.strip().lower()
            if word not in found:
                raise ValueError(f"{key} is {value!r}; set it to 'required' or 'forbidden'.")
            found[word].add(key.removeprefix(TRAIT_PREFIX))
    both = sorted(found[_REQUIRED] & found[_FORBIDDEN])
    if both:
        raise ValueError(
            f"The trait {both[0]} is both required and forbidden by the flavor and the image together; "
            "choose another flavor or another image."
        )
    return TraitsAsked(required=frozenset(found[_REQUIRED]), forbidden=frozenset(found[_FORBIDDEN]))
