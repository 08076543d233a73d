# Two commands matter to a newcomer: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# Two more than cores: many tests wait, for processes that they started or for a broker.
WORKERS ?= $(shell $(PYTHON) -c "import os; print(len(os.sched_getaffinity(0)) + 2)")
# Tests against servers wait for those most of the time; each file has its own.
LIVE_WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help venv demo test check live bench lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

venv: $(STAMP) ## make .venv from the lock file (reproducible, hashes checked)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: venv ## feed an attack story to the embedded pipeline and watch (DEMO_ARGS=--exit ends by itself)
	@$(BIN)/tocsin demo $(DEMO_ARGS)

test: venv ## unit, contract, flow and fault tests; no server needed
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(TEST_ARGS)

check: venv ## lint, types, import rules, unit tests
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m "not live and not slow"

live: venv ## tests against real servers (dev/ fetches and starts them)
	$(BIN)/python -m pytest -m live -n $(LIVE_WORKERS) --dist loadfile --no-loadscope-reorder \
	  --timeout 600 $(TEST_ARGS)

bench: venv ## measure, and write bench/results/ (this machine, data, commit)
	$(BIN)/python -m bench $(BENCH_ARGS)

lock: ## refresh requirements.lock from pyproject.toml (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --all-extras \
	  --group test --group build --no-header --quiet -o requirements.lock pyproject.toml

clean: ## remove what was built, not what was fetched
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
