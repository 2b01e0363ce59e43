"""XML as libvirt takes and gives it."""

import re
from typing import Any
from xml.etree import ElementTree as ET

Element = ET.Element
# What XML 1.0 cannot carry at all (2.2 Char), which a server's name may yet hold.
_NOT_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


def parse(text: str) -> Element:
    """libvirt's own answer: it comes from a root process of this machine, and is trusted as such."""
    return ET.fromstring(text)  # noqa: S314


def dump(element: Element) -> str:
    """The text of an element, indented as in libvirt's files."""
    ET.indent(element)
    return ET.tostring(element, encoding="unicode")


def element(tag: str, text: str | None = None, /, *children: Element | None, **attributes: Any) -> Element:
    """An element with attributes (None = without it; a trailing underscore is dropped: `type_`), text and children
    (None = none)."""
    made = ET.Element(
        tag, {name.rstrip("_"): clean(str(value)) for name, value in attributes.items() if value is not None}
    )
    made.text = clean(text) if text is not None else None
    made.extend(child for child in children if child is not None)
    return made


def clean(text: str) -> str:
    """The text without the characters that XML cannot carry."""
    return _NOT_XML.sub("", text)
