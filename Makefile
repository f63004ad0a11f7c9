# Every target does its own set-up. Only Python 3.11 or newer, Node 20 or newer and make have to be there.
PYTHON ?= python3
VENV   ?= .venv
RUN    := $(VENV)/bin/python
READY  := $(VENV)/.ready
RUNS   ?= 200
SEED   ?= 1
# Processes that share the tests out; most of them wait for clocks and leases.
JOBS   ?= 4

.DEFAULT_GOAL := help
.PHONY: help demo serve test chaos bench-history bench-connect check format lock setup

help: ## This list
	@echo "Elastic Jobs: run T-SQL across many Azure SQL databases."
	@echo
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup ## The Microsoft tutorial from start to end, on this machine
	@$(RUN) -m local.demo

serve: setup ## The whole stack until Ctrl-C; writes .local/endpoint.json (PORT, DATABASES, WORKERS, JOB_DATABASE_URL, TARGET_SQL)
	@exec $(RUN) -m local.serve

test: setup ## All tests
	@$(RUN) -m pytest -n $(JOBS) --dist loadgroup $(TESTS)

chaos: setup ## Seeded runs under kills, lost messages and faults (RUNS, SEED); then broken laws and the recovery time
	@$(RUN) -m tests.chaos --runs $(RUNS) --seed $(SEED)
	@$(RUN) -m tests.chaos --show-broken
	@$(RUN) -m tests.chaos --recovery

bench-history: setup ## What a tick, a claim and a page cost with 1,000 and with 1,000,000 finished targets
	@$(RUN) -m bench.history

bench-connect: setup ## What verified TLS costs per connection, with the small file of roots and with the system's
	@$(RUN) -m bench.connect_tls

check: setup ## Formatting, lint, types, the rules of the house (triggers, imports, settings)
	@$(RUN) -m ruff format --check . && $(RUN) -m ruff check . && $(RUN) -m mypy
	@$(RUN) -m pytest -q tests/unit/test_house.py

format: setup ## Format the code
	@$(RUN) -m ruff format . && $(RUN) -m ruff check --fix .

lock: setup ## Pin all dependencies anew (requirements.txt, requirements-dev.txt)
	@$(RUN) -m pip install --quiet uv
	@UV_CUSTOM_COMPILE_COMMAND='make lock' $(RUN) -m uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --upgrade \
		pyproject.toml -o requirements.txt
	@UV_CUSTOM_COMPILE_COMMAND='make lock' $(RUN) -m uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --extra dev \
		--constraint requirements.txt pyproject.toml -o requirements-dev.txt

setup: tools $(READY) node_modules/.package-lock.json

# Before anything is installed: what is missing is said at once.
tools:
	@command -v $(PYTHON) >/dev/null || { echo "Python is missing: install Python 3.11 or newer, or name it: make PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.13" >&2; exit 1; }
	@command -v npm >/dev/null || { echo "Node is missing: install Node 20 or newer with npm; Azurite, which stands in for Azure Storage, runs on it" >&2; exit 1; }

$(READY): requirements-dev.txt
	@echo "Installing Python packages into $(VENV) (a minute or two, once) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(RUN) -m pip install -qq --disable-pip-version-check -r requirements-dev.txt
	@sh local/odbc.sh $(RUN)
	@touch $@

node_modules/.package-lock.json: package-lock.json
	@echo "Installing Azurite into node_modules (once) ..."
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@
