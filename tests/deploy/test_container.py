"""The container's files, held against what they name: no registry and no builder is at hand where the tests run."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from polyvisor.cli.main import cli
from polyvisor.serve.configuration import read
from tests.deploy.build import ROOT

FOLDER = ROOT / "deploy/container"


def instructions() -> list[tuple[str, str]]:
    """Of the Containerfile: each name with its words, lines joined, comments left out."""
    lines = [line for line in (FOLDER / "Containerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage, its FROM first."""
    found: list[list[tuple[str, str]]] = []
    for name, words in instructions():
        if name == "FROM":
            found.append([])
        found[-1].append((name, words))
    return found


def compose() -> Any:
    """compose.yaml, decoded."""
    return yaml.safe_load((FOLDER / "compose.yaml").read_text())


def test_what_the_build_copies_is_there_and_is_sent_to_it() -> None:
    build, run = stages()
    ignored = {line.strip("/") for line in (FOLDER / "Containerfile.containerignore").read_text().splitlines()
               if line and not line.startswith("#")}  # fmt: skip
    sources = [word for name, words in build if name == "COPY" for word in words.split()[:-1]]
    assert {"src", "docs", "deploy", "requirements.lock", "pyproject.toml"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source not in ignored
    assert [words for name, words in run if name == "COPY"] == ["--from=build /package /package"]
    assert " AS build" in build[0][1]


def test_it_is_built_with_what_the_project_is_built_with() -> None:
    """The same uv, and every package that deploy/package looks for."""
    (version,) = re.findall(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    text = (FOLDER / "Containerfile").read_text()
    assert f"uv=={version}" in text
    installed = set(next(words for name, words in stages()[0] if name == "RUN").split())
    control = (ROOT / "deploy/debian/control").read_text()
    wanted = re.findall(
        r"^ ([a-z0-9-]+)", control.partition("Build-Depends:")[2].partition("Standards")[0], re.MULTILINE
    )
    needed = {name for name in wanted if name != "debhelper-compat"} | {"debhelper", "lintian", "build-essential"}
    assert needed <= installed


def test_it_runs_as_a_user_of_its_own_and_asks_itself_for_its_health() -> None:
    run = stages()[1]
    assert [words for name, words in run if name == "USER"] == ["polyvisor"]
    assert run.index(("USER", "polyvisor")) > max(place for place, (name, _) in enumerate(run) if name == "RUN")
    (health,) = [words for name, words in run if name == "HEALTHCHECK"]
    assert "http://127.0.0.1:9464/healthz" in health
    (start,) = [json.loads(words) for name, words in run if name == "CMD"]
    assert start[0] in cli.list_commands(None)  # type: ignore[arg-type]


def test_three_servers_share_what_is_shared_and_nothing_else() -> None:
    services = compose()["services"]
    servers = [services[f"server-{number}"] for number in (1, 2, 3)]
    own = [{volume for volume in server["volumes"] if volume.startswith("server-")} for server in servers]
    assert [len(each) for each in own] == [1, 1, 1]
    assert len(set.union(*own)) == 3
    assert len({frozenset(server["volumes"]) - each for server, each in zip(servers, own, strict=True)}) == 1
    named = {volume.partition(":")[0] for service in services.values() for volume in service.get("volumes", ())}
    assert {name for name in named if not name.startswith(".")} == set(compose()["volumes"])
    tls = {"cloud.pem", "authority.pem"}
    for name in named:
        path = (FOLDER / name).resolve()
        assert not name.startswith(".") or path.exists() or path.name == "tls" or path.name in tls, name


def test_the_servers_are_where_the_load_balancer_looks_for_them() -> None:
    """The same haproxy.cfg serves both; the configuration is one that the program reads."""
    services = compose()["services"]
    balancer = (ROOT / "deploy/haproxy/haproxy.cfg").read_text()
    for number in (1, 2, 3):
        address = services[f"server-{number}"]["networks"]["cloud"]["ipv4_address"]
        assert f"server server-{number} {address}:5000 " in balancer
        assert f"server server-{number} {address}:5443 " in balancer
    configuration = read(FOLDER / "polyvisor.toml")
    assert configuration.listen.endswith(":5000")
    assert configuration.agents.listen.endswith(":5443")
    assert f"@{services['db']['networks']['cloud']['ipv4_address']}/" in configuration.database
    assert configuration.api.behind_proxy
    mounts = [volume.split(":")[1] for volume in services["server-1"]["volumes"]]
    for path in (configuration.tls_certificate, configuration.tls_key, configuration.image.directory):
        assert any(Path(path).is_relative_to(mount) for mount in mounts), path
