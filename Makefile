# The front door: `make demo` shows the cloud, `make test` checks it. Both install what they need first.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup lint test bench demo ha simulate package lock clean

UV_VERSION := 0.13.8
VENV := .venv
BIN := $(VENV)/bin
CACHE := .cache
# uv as it stands on this machine, or our own copy of it.
UV := $(shell if uv --version >/dev/null 2>&1; then command -v uv; else echo $(CACHE)/uv/bin/uv; fi)
SYSTEM_STAMP := $(CACHE)/stamps/system-packages
PYTHON_STAMP := $(VENV)/.installed
# Where `make test` may use fewer or more processes: make test JOBS=4
JOBS := 2
# How many failed tests may be tried once more, alone; CI sets it.
AGAIN :=
TESTS := tests
SEED := 1
HISTORIES := 1000
export PYTHONDONTWRITEBYTECODE :=

help: ## Say what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(SYSTEM_STAMP) $(PYTHON_STAMP) ## Install what is needed: system packages by apt, Python packages as locked

lint: setup ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src testbed tests $(wildcard demo bench ha deploy simulation)
	$(BIN)/lint-imports --no-cache

test: lint ## Check everything: lint, then every test
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(TESTS) $(if $(AGAIN),|| setup/try-again $$? $(AGAIN))

demo: setup ## Bring up the cloud, put a server on KVM and one on vSphere on one network, show them, remove all (KEEP=1 leaves it running)
	$(BIN)/python -m demo $(if $(KEEP),--keep)

ha: setup ## Kill, stop and cut off every part of a whole cloud under load, and compare its books (SEED=7, MINUTES=60)
	$(BIN)/python -m ha $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES))

bench: setup ## Measure this cloud, and a peer beside it where PEER names one (an openrc file)
	$(BIN)/python -m bench $(if $(PEER),--peer $(PEER))

package: setup ## Build dist/polyvisor_VERSION_ARCHITECTURE.deb, and let lintian look at it
	UV=$(UV) deploy/package

simulate: setup ## Run histories of a cloud with faults, each decided by its seed: SEED=1 HISTORIES=1000 (or FOR=600 seconds; TRACE=1 tells all)
	$(BIN)/python -m simulation --seed $(SEED) --histories $(HISTORIES) $(if $(FOR),--seconds $(FOR)) $(if $(TRACE),--trace)

lock: $(SYSTEM_STAMP) $(filter $(CACHE)/%,$(UV)) ## Choose the newest Python packages that fit, and write them down
	$(UV) pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links --upgrade --quiet --output-file requirements.lock

clean: ## Remove what was built and cached; the next run installs again
	rm -rf $(CACHE) $(VENV) build dist

$(SYSTEM_STAMP): setup/system-packages $(wildcard setup/packages/*.txt)
	setup/system-packages
	@mkdir -p $(@D) && touch $@

$(PYTHON_STAMP): requirements.lock pyproject.toml | $(SYSTEM_STAMP) $(filter $(CACHE)/%,$(UV))
	@[ -x $(BIN)/python ] || $(UV) venv --quiet --python '>=3.11' $(VENV)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

$(CACHE)/uv/bin/uv: | $(SYSTEM_STAMP)
	python3 -m venv $(CACHE)/uv
	$(CACHE)/uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
