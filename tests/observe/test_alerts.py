"""The alert rules: Prometheus's own tool takes them, each is tried both ways, and each says what to do."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/prometheus"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
NAMES = [rule["alert"] for rule in RULES]
ASKED_FOR = [
    "VcenterUnreachable",
    "AgentWithoutStandby",
    "OperationStuck",
    "HostDown",
    "CertificateNearItsEnd",
    "DiskFilling",
    "DatastoreFilling",
    "ServerDown",
    "AgentDown",
    "DatabaseSlow",
    "RequestsFailing",
]


def promtool(*words: str) -> str:
    """What Prometheus's tool says; it must agree."""
    assert shutil.which("promtool"), "promtool is missing: install Debian's package prometheus (setup/system-packages)"
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_are_taken() -> None:
    assert f"{len(RULES)} rules found" in promtool("check", "rules", str(FOLDER / "alerts.yaml"))


def test_each_fires_when_it_must_and_stays_quiet_else() -> None:
    assert "SUCCESS" in promtool("test", "rules", str(FOLDER / "alerts.test.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_is_tried_both_ways(name: str) -> None:
    tests = yaml.safe_load((FOLDER / "alerts.test.yaml").read_text())["tests"]
    tried = [
        bool(each["exp_alerts"]) for test in tests for each in test["alert_rule_test"] if each["alertname"] == name
    ]
    assert set(tried) == {True, False}


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_a_rule_leads_to_what_to_do(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^### (\w+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor == rule["alert"].lower()
    assert rule["alert"] in headings
    assert rule["labels"]["severity"] in ("warning", "critical")


def test_every_fault_that_was_promised_has_its_alert() -> None:
    assert {f"Polyvisor{name}" for name in ASKED_FOR} <= set(NAMES)


def test_no_two_rules_have_one_name() -> None:
    assert len(NAMES) == len(set(NAMES))
