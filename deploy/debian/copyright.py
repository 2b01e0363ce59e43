"""Writes debian/copyright: who holds the rights of each bundled Python package, and under which licence.

Usage: copyright.py SITE_PACKAGES. Licence texts as their authors wrote them lie beside each package, in its dist-info.
"""

import re
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

HEAD = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: polyvisor
Comment: The Python packages that Polyvisor needs are bundled as their projects
 publish them. The texts of their licences, and those of the libraries that
 some bring along (*.libs), lie in usr/lib/polyvisor/lib/python3.11/site-packages,
 in each package's NAME-VERSION.dist-info.

Files: *
Copyright: the Polyvisor authors
License: Apache-2.0
"""
APACHE = """
License: Apache-2.0
 On Debian systems the full text of the Apache License, Version 2.0, is in
 /usr/share/common-licenses/Apache-2.0.
"""
SITE = "usr/lib/polyvisor/lib/python3.11/site-packages"
HOLDER = re.compile(r"^\W*(copyright\s+(?:\(c\)|©|\d{4}).{3,120}?)\W*$", re.IGNORECASE | re.MULTILINE)


def field(found: Distribution, name: str) -> str:
    """A field of the package's metadata; empty where it has none."""
    return str((found.metadata.get_all(name) or [""])[0] or "")


def licence(found: Distribution) -> str:
    """The licence's name as the package states it: an SPDX expression, a name, or its classifiers."""
    meta = found.metadata
    stated = (field(found, "License-Expression") or field(found, "License")).strip()
    if stated and "\n" not in stated and len(stated) < 80:
        return stated
    kinds = [str(each).rpartition(" :: ")[2] for each in meta.get_all("Classifier") or []
             if str(each).startswith("License :: ")]  # fmt: skip
    return " or ".join(kinds)


def holders(folder: Path) -> list[str]:
    """The lines of its licence files that name who holds the rights."""
    found: list[str] = []
    for file in sorted(folder.rglob("*")):
        if file.is_file() and re.match(r"(licen[cs]e|copying|copyright|notice)", file.name, re.IGNORECASE):
            for line in HOLDER.findall(file.read_text(errors="replace")):
                plain = " ".join(line.split())
                if plain not in found:
                    found.append(plain)
    return found[:12]


def stanza(found: Distribution, packages: Path) -> str:
    """One package's paragraph. Raises SystemExit for one that does not say its licence."""
    named = licence(found)
    if not named:
        raise SystemExit(f"copyright: {found.name} states no licence; look it up before bundling it")
    folder = packages / f"{found.name.replace('-', '_')}-{found.version}.dist-info"
    folder = folder if folder.is_dir() else Path(str(found._path))  # type: ignore[attr-defined]
    tops = sorted({name.split("/")[0] for name in (found.read_text("top_level.txt") or found.name).split()})
    files = "\n ".join([f"{SITE}/{folder.name}/*", *(f"{SITE}/{top}*" for top in tops if (packages / top).exists())])
    who = holders(folder) or [field(found, "Author") or field(found, "Author-email") or "its authors"]
    short = re.sub(r"[^A-Za-z0-9.+-]+", "-", named).strip("-")
    text = "\n ".join(["Copyright: " + who[0], *who[1:]])
    return f"\nFiles: {files}\n{text}\nLicense: {short}\nComment: {found.name} {found.version}\n"


def main(packages: Path) -> None:
    """Print the file."""
    bundled = sorted(distributions(path=[str(packages)]), key=lambda each: each.name.lower())
    stanzas = [stanza(each, packages) for each in bundled if each.name != "polyvisor"]
    shorts = sorted({line.removeprefix("License: ") for part in stanzas for line in part.splitlines()
                     if line.startswith("License: ")} - {"Apache-2.0"})  # fmt: skip
    texts = [
        f"\nLicense: {short}\n See the licence files of the packages under it, in\n /{SITE}.\n" for short in shorts
    ]
    sys.stdout.write("".join([HEAD, *stanzas, APACHE, *texts]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
