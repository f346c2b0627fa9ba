# Everything is set up by the commands themselves: `make run` and `make test` work on a fresh clone.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.DEFAULT_GOAL := help
.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/.ready: requirements.lock pyproject.toml orchestrator/__init__.py
	@$(PYTHON) -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { $(SUDO) apt-get update -q && $(SUDO) apt-get install -yq --no-install-recommends python3 python3-venv; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: setup
setup: $(VENV)/.ready ## Python environment, Docker engine and QEMU
	$(BIN)/matrixctl doctor --quiet || $(SUDO) $(BIN)/matrixctl doctor --fix

.PHONY: run
run: setup ## The main job: the quick profile, and where its report is
	$(BIN)/matrixctl run --profile quick

.PHONY: lint
lint: $(VENV)/.ready ## ruff and mypy, strict
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

.PHONY: unit
unit: $(VENV)/.ready ## The tests that need no engine and no browser
	$(BIN)/pytest

.PHONY: lock
lock: ## Renew requirements.lock (hashes, no addresses)
	$(BIN)/pip-compile --quiet --extra dev --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links \
	  --strip-extras --output-file requirements.lock pyproject.toml

.PHONY: test
test: lint ## All set-up and all tests
	$(BIN)/pytest
