# Everything is set up by the commands themselves: `make run` and `make test` work on a fresh clone.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KEPT := MATRIXCTL_MIRROR,XDG_CACHE_HOME,http_proxy,https_proxy,no_proxy,HTTP_PROXY,HTTPS_PROXY,NO_PROXY
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo --preserve-env=$(KEPT))

# Some images set it: then each process that a test starts compiles the whole package again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/.ready: requirements.lock pyproject.toml orchestrator/__init__.py
	@$(PYTHON) -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { $(SUDO) apt-get update -q && $(SUDO) apt-get install -yq --no-install-recommends python3 python3-venv; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: Debian 12, Ubuntu 24.04")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# A user outside the docker group needs sudo to reach the engine; where DOCKER_HOST is set no one does.
ENGINE = $$([ -n "$$DOCKER_HOST" ] || [ -w /var/run/docker.sock ] || echo "$(SUDO)")

.PHONY: setup
setup: $(VENV)/.ready ## Python environment and Docker engine
	@$(ENGINE) $(BIN)/matrixctl doctor --quiet || $(SUDO) $(BIN)/matrixctl doctor --fix

.PHONY: run
run: setup ## The main job: the quick profile, and where its report is
	@$(ENGINE) $(BIN)/matrixctl run --profile quick

# What the tests build is kept from one `make test` to the next, by digest as in any run; `make clean` leaves it.
TEST_STORE ?= $${XDG_CACHE_HOME:-$$HOME/.cache}/matrixctl-tests
# One seed: a change is judged by what it breaks. `make soak` looks for what was not tried yet.
PYTEST = $(BIN)/pytest -p no:cacheprovider --durations=10 --run-containers --run-browser --fuzz-seconds=60 --fuzz-seed=2569 \
  --hypothesis-profile=full

.PHONY: test
test: setup test-tools ## All set-up and all tests, the ones with real containers and a browser included
	@$(MAKE) --no-print-directory --jobs=3 lint test-containers test-rest

# The workflow spreads them over several machines: PART is a part of the files.
PART ?= tests
.PHONY: test-containers
test-containers: # Emulators and time-outs leave cores idle: two files at a time, and the rest beside them
	$(ENGINE) env MATRIXCTL_TEST_STORE="$(TEST_STORE)" $(PYTEST) --numprocesses=2 --dist=loadfile -m containers $(PART)

.PHONY: test-rest
test-rest:
	$(PYTEST) -m 'not containers'

.PHONY: soak
soak: setup test-tools ## What takes longer than CI may: every library that is available here, every client, again and again
	$(BIN)/pytest tests/fuzz --fuzz-seconds=3600
	$(BIN)/pytest -k hostile --whole-corpus
	$(ENGINE) $(BIN)/pytest -m 'soak or fault' --run-containers --run-soak --run-browser --durations=0 -rA
	@$(MAKE) --no-print-directory busy

.PHONY: busy
busy: $(VENV)/.ready ## The unit tests, with all their examples, three times beside four busy loops
	@loops=; for loop in 1 2 3 4; do (while :; do :; done) & loops="$$loops $$!"; done; \
	trap 'kill $$loops 2>/dev/null' EXIT; trap 'exit 130' INT TERM; \
	for round in 1 2 3; do $(BIN)/pytest -q --hypothesis-profile=full || exit 1; done

# Their tests play whole commands, runs, workflows and servers, or try inputs as long as there is time.
WHOLE := app cli containers fuzz github serve
.PHONY: unit
unit: $(VENV)/.ready ## The tests of the parts: no engine, no browser, no whole run (a minute)
	$(BIN)/pytest -m 'not whole' $(WHOLE:%=--ignore=tests/%)

.PHONY: lint
lint: $(VENV)/.ready ## ruff and mypy, strict; the workflows: their schema, actionlint, zizmor
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-actions action.yml
	$(BIN)/actionlint
	$(BIN)/zizmor --offline --quiet .

# --strict: where the list of vulnerabilities cannot be downloaded, nothing is known.
AUDIT := .venv-audit
$(AUDIT)/.ready: .ci/audit.lock
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/pip install --quiet --require-hashes -r .ci/audit.lock
	@touch $@

.PHONY: audit
audit: $(AUDIT)/.ready ## Known vulnerabilities of what the lock files name (asks PyPI's list of them)
	for lock in requirements.lock images/aioquic.lock .ci/audit.lock; do \
	  $(AUDIT)/bin/pip-audit --strict --require-hashes --disable-pip -r $$lock || exit 1; done

.PHONY: test-tools
test-tools: # Chromium for the tests of the report, an ssh server for DOCKER_HOST=ssh://, PostgreSQL for the history, gh
	@command -v chromedriver >/dev/null && command -v chromium >/dev/null && command -v gh >/dev/null && [ -x /usr/sbin/sshd ] && \
	  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || \
	  { $(SUDO) apt-get update -q && $(SUDO) apt-get install -yq --no-install-recommends \
	    chromium chromium-driver fonts-dejavu-core gh openssh-client openssh-server postgresql; }

.PHONY: bench
bench: setup test-tools ## The benchmarks: their figures in the docs are made anew (an hour or more)
	$(ENGINE) $(BIN)/python -m bench --write

.PHONY: wheel
wheel: $(VENV)/.ready ## Build wheel and source; `pipx install dist/*.whl` is all that it needs
	$(BIN)/python -m build --no-isolation

# For Debian 13's Python, whatever this machine has. BASE: another image in the place of Docker Hub's, as where no
# registry answers.
IMAGE ?= matrixctl
.PHONY: image
image: $(VENV)/.ready ## The image of release.yml: matrixctl with what it needs
	ls dist/*.whl >/dev/null 2>&1 || $(MAKE) --no-print-directory wheel
	rm -rf dist/wheels
	$(BIN)/pip download --quiet --require-hashes --no-deps --only-binary :all: --implementation cp --python-version 3.13 \
	  $$(for libc in 17 28 34; do echo --platform manylinux_2_$${libc}_$$(uname -m); done) \
	  --requirement requirements.lock --dest dist/wheels
	$(ENGINE) docker build --file .github/Dockerfile $${BASE:+--build-arg BASE=$$BASE} --tag $(IMAGE) .

.PHONY: lock
lock: ## Renew requirements.lock, images/aioquic.lock and .ci/audit.lock (hashes, no addresses)
	$(BIN)/pip-compile --quiet --extra dev --generate-hashes --allow-unsafe --no-emit-index-url \
	  --no-emit-find-links --strip-extras --output-file requirements.lock pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links --strip-extras \
	  --output-file images/aioquic.lock images/aioquic.in
	$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links --strip-extras \
	  --output-file .ci/audit.lock .ci/audit.in

.PHONY: clean
clean: ## Remove the environment, caches and built wheels (never reports)
	rm -rf $(VENV) $(AUDIT) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
