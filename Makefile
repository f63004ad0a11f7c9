# Every target does its own set-up. Only Python 3.11 or newer, Node 20 or newer and make have to be there.
PYTHON ?= python3
VENV   ?= .venv
RUN    := $(VENV)/bin/python
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo serve test check format lock setup

help: ## This list
	@echo "Elastic Jobs: run T-SQL across many Azure SQL databases."
	@echo
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup ## The Microsoft tutorial from start to end, on this machine
	@$(RUN) -m local.demo

serve: setup ## The whole stack until Ctrl-C; writes .local/endpoint.json (PORT, DATABASES, WORKERS, JOB_DATABASE_URL, TARGET_SQL)
	@exec $(RUN) -m local.serve

test: setup ## All tests
	@$(RUN) -m pytest $(TESTS)

check: setup ## Formatting, lint, types
	@$(RUN) -m ruff format --check . && $(RUN) -m ruff check . && $(RUN) -m mypy

format: setup ## Format the code
	@$(RUN) -m ruff format . && $(RUN) -m ruff check --fix .

lock: setup ## Pin all dependencies anew (requirements.txt, requirements-dev.txt)
	@$(RUN) -m pip install --quiet uv
	@$(RUN) -m uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --upgrade \
		pyproject.toml -o requirements.txt
	@$(RUN) -m uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --extra dev \
		--constraint requirements.txt pyproject.toml -o requirements-dev.txt

setup: $(READY) node_modules/.package-lock.json

$(READY): requirements-dev.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python is missing: install Python 3.11 or newer, or name it: make PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.13" >&2; exit 1; }
	@echo "Installing Python packages into $(VENV) (a minute or two, once) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(RUN) -m pip install -qq --disable-pip-version-check -r requirements-dev.txt
	@sh local/odbc.sh $(RUN)
	@touch $@

node_modules/.package-lock.json: package-lock.json
	@command -v npm >/dev/null || { echo "Node is missing: install Node 20 or newer with npm; Azurite, which stands in for Azure Storage, runs on it." >&2; exit 1; }
	@echo "Installing Azurite into node_modules (once) ..."
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@
