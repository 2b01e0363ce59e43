"""From a method and a path to the routes that may answer: a tree of path segments, fixed names before variables."""

from collections.abc import Iterable
from urllib.parse import unquote

from polyvisor.api.kit.resource import Route

Candidates = list[tuple[Route, tuple[str, ...]]]


class _Node:
    __slots__ = ("fixed", "methods", "rest", "variable")

    def __init__(self) -> None:
        self.fixed: dict[str, _Node] = {}
        self.variable: _Node | None = None
        self.rest: _Node | None = None
        self.methods: dict[str, Candidates] = {}


class Found:
    """What a path leads to."""

    __slots__ = ("methods", "values")

    def __init__(self, methods: dict[str, Candidates], values: tuple[str, ...]) -> None:
        self.methods = methods
        """By method, the routes (one per range of microversions or per action) and the names of their variables."""
        self.values = values


class Router:
    """The routes of one service, by path below its prefix. `{name}` is one segment, `{name:rest}` all that follow."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node = self._root
        names: list[str] = []
        for segment in route.path.strip("/").split("/") if route.path.strip("/") else ():
            if segment.startswith("{") and segment.endswith(":rest}"):
                names.append(segment[1:-6])
                node.rest = node.rest or _Node()
                node = node.rest
            elif segment.startswith("{"):
                names.append(segment[1:-1])
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.fixed.setdefault(segment, _Node())
        known = node.methods.setdefault(route.method, [])
        for other, _ in known:
            if other.action == route.action and other.first <= route.last and route.first <= other.last:
                raise ValueError(f"{route.method} {route.path} is registered twice for the same microversions.")
        known.append((route, tuple(names)))

    def find(self, path: str) -> Found | None:
        """What answers a raw (percent-encoded) path below the service's prefix; None = nothing."""
        stripped = path.strip("/")
        segments = stripped.split("/") if stripped else []
        return _walk(self._root, segments, 0, ())


def _walk(node: _Node, segments: list[str], at: int, values: tuple[str, ...]) -> Found | None:
    if at == len(segments):
        return Found(node.methods, values) if node.methods else None
    segment = segments[at]
    fixed = node.fixed.get(segment)
    if fixed is not None:
        found = _walk(fixed, segments, at + 1, values)
        if found is not None:
            return found
    if node.variable is not None and segment:
        found = _walk(node.variable, segments, at + 1, (*values, unquote(segment)))
        if found is not None:
            return found
    if node.rest is not None:
        return Found(node.rest.methods, (*values, unquote("/".join(segments[at:]))))
    return None
