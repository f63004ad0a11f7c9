# Every target does its own set-up. Only Python 3.11 or newer, Node 20 or newer and make have to be there.
PYTHON ?= python3
VENV   ?= .venv
RUN    := $(VENV)/bin/python
READY  := $(VENV)/.ready
RUNS   ?= 200
SEED   ?= 1
# Processes that share the tests out; most of them wait for clocks and leases.
JOBS   ?= 5

# Hundreds of processes of the suite would compile the whole tree anew.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo serve test chaos bench bench-tiny bench-setup bench-servers bench-history bench-connect check format lock setup pictures bench-portal browser tools release audit licences

help: ## This list
	@echo "Elastic Jobs: run T-SQL across many Azure SQL databases."
	@echo
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup ## The Microsoft tutorial from start to end, on this machine
	@$(RUN) -m local.demo

serve: setup ## The whole stack until Ctrl-C; writes .local/endpoint.json (PORT, DATABASES, WORKERS, JOB_DATABASE_URL, TARGET_SQL)
	@exec $(RUN) -m local.serve

test: setup browser ## All tests
	@$(RUN) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(TESTS)

chaos: setup ## Seeded runs under kills, lost messages and faults (RUNS, SEED); then broken laws and the recovery time
	@$(RUN) -m tests.chaos --runs $(RUNS) --seed $(SEED)
	@$(RUN) -m tests.chaos --show-broken
	@$(RUN) -m tests.chaos --recovery

bench: bench-setup ## The whole benchmark suite (an hour): tables, JSON and charts in bench/results; parts: fanout lag waiting growth idle recovery
	@$(RUN) -m bench

bench-fanout bench-lag bench-waiting bench-growth bench-idle bench-recovery: bench-%: bench-setup
	@$(RUN) -m bench.$* $(BENCH)

bench-tiny: bench-setup ## Every part of the suite in its smallest form: shows that it works, measures nothing
	@$(RUN) -m bench --tiny --results .local/bench

bench-history: setup ## What a tick, a claim and a page cost with 1,000 and with 1,000,000 finished targets
	@$(RUN) -m bench.history

bench-connect: setup ## What verified TLS costs per connection, with the small file of roots and with the system's
	@$(RUN) -m bench.connect_tls

check: setup ## Formatting, lint, types, the rules of the house (triggers, imports, settings)
	@$(RUN) -m ruff format --check . && $(RUN) -m ruff check . && $(RUN) -m mypy
	@$(RUN) -m pytest -q tests/unit/test_house.py

format: setup ## Format the code
	@$(RUN) -m ruff format . && $(RUN) -m ruff check --fix .

lock: setup ## Pin all dependencies anew (requirements.txt, requirements-dev.txt, requirements-bench.txt)
	@$(RUN) -m pip install --quiet uv
	@UV_CUSTOM_COMPILE_COMMAND='make lock' $(RUN) -m uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --upgrade \
		pyproject.toml -o requirements.txt
	@UV_CUSTOM_COMPILE_COMMAND='make lock' $(RUN) -m uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --extra dev \
		--constraint requirements.txt pyproject.toml -o requirements-dev.txt
	@UV_CUSTOM_COMPILE_COMMAND='make lock' $(RUN) -m uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --extra bench \
		--constraint requirements-dev.txt pyproject.toml -o requirements-bench.txt

pictures: setup browser ## The pictures of the portal in docs/images
	@$(RUN) -m local.portal_pictures

bench-portal: setup ## How long the portal's pages take and weigh over 5,000 targets
	@$(RUN) -m bench.portal_pages

release: setup ## The files of a release, in dist/
	@$(RUN) -m local.release build

audit: setup ## Known vulnerabilities of what is deployed (asks PyPI)
	@$(RUN) -m local.release audit

licences: setup ## The table in docs/licences.md anew
	@$(RUN) -m local.licences

# Never a reason to stop: without a browser its tests are skipped, with the same sentence.
browser:
	@sh local/chromium.sh

setup: tools $(READY) $(VENV)/bin/elastic-jobs node_modules/.package-lock.json

# Before anything is installed: what is missing is said at once.
tools:
	@command -v $(PYTHON) >/dev/null || { echo "Python is missing: install Python 3.11 or newer, or name it: make PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.13" >&2; exit 1; }
	@command -v npm >/dev/null || { echo "Node is missing: install Node 20 or newer with npm; Azurite, which stands in for Azure Storage, runs on it" >&2; exit 1; }

# On top of the rest, with the same versions: nothing of it is needed to run or test the product.
bench-setup: setup $(VENV)/.ready-bench bench-servers

$(VENV)/.ready-bench: requirements-bench.txt $(READY)
	@echo "Installing the peers and matplotlib into $(VENV) (once) ..."
	@$(RUN) -m pip install -qq --disable-pip-version-check -r requirements-bench.txt
	@touch $@

bench-servers:
	@sh bench/servers.sh || echo "Without them the peers are left out." >&2

$(READY): requirements-dev.txt
	@echo "Installing Python packages into $(VENV) (a minute or two, once) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(RUN) -m pip install -qq --disable-pip-version-check -r requirements-dev.txt
	@sh local/odbc.sh $(RUN)
	@touch $@

# The command itself: a script that runs the code of this folder as it is (an editable install).
$(VENV)/bin/elastic-jobs: pyproject.toml $(READY)
	@$(RUN) -m pip install -qq --disable-pip-version-check --no-deps -e .
	@touch $@

node_modules/.package-lock.json: package-lock.json
	@echo "Installing Azurite into node_modules (once) ..."
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@
