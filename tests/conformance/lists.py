"""The lists of other projects' tests: those that must pass, and the others with the reason why they do not."""

from pathlib import Path

HERE = Path(__file__).parent


def passing(project: str) -> list[str]:
    """Ids of the tests that must pass."""
    return [line for line in _lines(HERE / project / "passing.txt") if not line.startswith("#")]


def often(project: str) -> list[str]:
    """Ids of those that must pass and are run with every test run; the rest of them takes too long for that."""
    return [line for line in _lines(HERE / project / "often.txt") if not line.startswith("#")]


def others(project: str) -> dict[str, list[str]]:
    """Ids of the others, by reason: a line that begins with `#` is the reason of those below it."""
    found: dict[str, list[str]] = {}
    reason = ""
    for line in _lines(HERE / project / "others.txt"):
        if line.startswith("#"):
            reason = line.removeprefix("#").strip()
            found[reason] = []
        else:
            found[reason].append(line)
    return found


def every(project: str) -> list[str]:
    """All ids, sorted."""
    return sorted([*passing(project), *(id for ids in others(project).values() for id in ids)])


def table(project: str) -> str:
    """The lists as a table in Markdown."""
    rows = [f"| passed | {len(passing(project))} |"]
    rows += [f"| {reason} | {len(ids)} |" for reason, ids in others(project).items()]
    return "\n".join(["| | tests |", "|---|---:|", *rows])


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
