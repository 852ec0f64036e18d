# Needs make and Python >= 3.11, nothing else. Everything is installed into $(VENV), once.
#
#   make quickstart [OUT=folder] [ARGS="more flags"]
#   make test       [ARGS="-k seeds"]

PYTHON ?= python3
VENV   ?= .venv
OUT    ?=
ARGS   ?=

BIN := $(VENV)/bin

# The interpreter that counts: the environment's, once there is one.
INTERPRETER = $(or $(wildcard $(BIN)/python),$(PYTHON))
NEW_ENOUGH  = $(shell "$(INTERPRETER)" -c 'import sys; print(int(sys.version_info >= (3, 11)))' 2>/dev/null)
FOUND       = $(or $(shell command -v "$(INTERPRETER)" >/dev/null && "$(INTERPRETER)" --version 2>&1),missing)

.PHONY: help quickstart install dev test lint types contracts check clean

help:
	@echo 'make quickstart   install, then run the whole story on the built-in scenes (OUT=folder, ARGS=flags)'
	@echo 'make test         install with the development tools, then run the tests (ARGS=pytest flags)'
	@echo 'make lint         ruff: rules and format'
	@echo 'make types        mypy --strict over src and tests'
	@echo 'make contracts    import-linter: the floors of the house'
	@echo 'make check        lint, types, contracts, test'
	@echo 'make clean        remove caches and build products (not $(VENV), not runs)'
	@echo 'PYTHON=python3.12 chooses the interpreter of a new $(VENV)'

quickstart: install
	$(BIN)/bezoar quickstart $(if $(OUT),--out "$(OUT)") $(ARGS)

# One thread per worker: the golden losses are recorded at one thread, and two workers do not fight for cores; where a
# test has more, they wait without spinning. Bytecode is kept even where the environment says otherwise: many tests start
# processes that import the package.
test: dev
	PYTHONDONTWRITEBYTECODE= OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(ARGS)

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: dev
	$(BIN)/mypy

contracts: dev
	$(BIN)/lint-imports

check: lint types contracts test

install: $(VENV)/.installed
dev: $(VENV)/.installed-dev

# The package is installed in place, so only a change of its metadata installs again.
$(VENV)/.installed: pyproject.toml | $(VENV)/.created
	$(BIN)/python -m pip install -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.created
	$(BIN)/python -m pip install -e '.[dev]'
	@touch $(VENV)/.installed $@

$(VENV)/.created:
	$(if $(filter 1,$(NEW_ENOUGH)),,$(error Bezoar needs Python >= 3.11, but $(INTERPRETER) is $(FOUND). Name another one: make PYTHON=python3.12$(if $(wildcard $(BIN)/python), (and remove $(VENV) first))))
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv "$(VENV)"
	@touch $@

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -path './$(VENV)' -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +
