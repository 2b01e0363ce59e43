"""The files for what stands around Polyvisor: each is read by the program that it is for."""

import re
import subprocess
from pathlib import Path

import yaml

from polyvisor.serve.tls import own_certificate
from testbed.postgres import TestPostgres
from tests.deploy.balancer import Balancer
from tests.deploy.build import ROOT

SETTINGS = ROOT / "deploy/postgresql/polyvisor.conf"
ACCESS = ROOT / "deploy/postgresql/pg_hba.conf"
PATRONI = ROOT / "deploy/patroni/patroni.yaml"


def settings() -> dict[str, str]:
    """Of PostgreSQL, as its own file gives them."""
    found = re.findall(r"^(\w+) = (.*)$", SETTINGS.read_text(), re.MULTILINE)
    return {name: value.strip("'") for name, value in found}


def test_haproxy_takes_its_file(tmp_path: Path) -> None:
    made = own_certificate(tmp_path, "127.0.0.1")
    both = tmp_path / "cloud.pem"
    both.write_bytes(made.chain.read_bytes() + made.key.read_bytes())
    assert made.authority is not None
    balancer = Balancer(tmp_path, (1, 2, 3), (4, 5, 6), certificate=both, authorities=made.authority)
    said = balancer.check()
    assert "Configuration file is valid" in said
    assert "WARNING" not in said


def test_keepalived_takes_its_file() -> None:
    """It complains of nothing but the interface, which is this machine's or not."""
    done = subprocess.run(
        ["keepalived", "--config-test", "--use-file", ROOT / "deploy/keepalived/keepalived.conf"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if "eth0" not in line and line.strip()]
    assert complaints == []


def test_postgresql_takes_its_settings_and_its_access_rules(postgres: TestPostgres, tmp_path: Path) -> None:
    known = {row[0] for row in postgres.ask("SELECT name FROM pg_settings")}
    assert set(settings()) <= known
    postmaster = (postgres.data / "postmaster.pid").read_text().split()[0]  # others come and go
    program = Path(f"/proc/{postmaster}/exe").readlink()
    (tmp_path / "postgresql.conf").write_text(SETTINGS.read_text())
    command = [str(program), "-C", "synchronous_standby_names", "-D", str(tmp_path)]
    read = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (read.returncode, read.stdout) == (0, "ANY 1 (*)\n"), read.stderr

    rules = postgres.data / "pg_hba.conf"
    before = rules.read_text()
    try:
        # It is read for this question alone: nobody tells the server to use it.
        rules.write_text(before + ACCESS.read_text())
        found = postgres.ask("SELECT type, database[1], user_name[1], error FROM pg_hba_file_rules")
    finally:
        rules.write_text(before)
    # The server of the tests has no certificate, which is no mistake of the file.
    assert [row for row in found if row[3] not in (None, "hostssl record cannot match because SSL is disabled")] == []
    assert ("hostssl", "polyvisor", "polyvisor") in [row[:3] for row in found]


def test_patroni_runs_postgresql_with_the_same_settings() -> None:
    read = yaml.safe_load(PATRONI.read_text())
    its_own = {name: str(value) for name, value in read["bootstrap"]["dcs"]["postgresql"]["parameters"].items()}
    plain = settings()
    assert {name: plain[name] for name in its_own} == its_own
    rules = {" ".join(rule.split()) for rule in read["postgresql"]["pg_hba"]}
    for line in ACCESS.read_text().splitlines():
        if line.startswith("hostssl"):
            assert " ".join(line.split()) in rules
