# One command each, from a fresh clone: `make demo` to see it, `make test` to check it. Needs make and a Python 3.11 or later.

VENV   := .venv
BIN    := $(VENV)/bin
# 3.11 to 3.13 are tried first: the wheels of the embedded Redis exist for these. `make PYTHON=/path/to/python …` overrides.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && exit; done; \
	for p in python3 python3.14; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && exit; done)
PYTEST := $(BIN)/python -m pytest -q
# Tests that kill processes, or measure how long a take-over lasts, need the machine to themselves; all others run two at a time.
ALONE  := $(wildcard tests/faults)
PAIR   := -n 2 --dist loadfile

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.DEFAULT_GOAL := help
.PHONY: help venv demo test check lint bench rivals soak format pages clean

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

venv: $(VENV)/.dev ## make .venv with everything needed to develop

demo: $(VENV)/.embedded ## run the demonstration on a Redis of its own
	@$(BIN)/meshdata demo meshdata cat dog mouse

test: lint ## format check, lint, types, import contracts, all tests
	$(PYTEST) $(PAIR) tests/unit tests/house
	$(PYTEST) $(PAIR) tests --ignore=tests/unit --ignore=tests/house $(addprefix --ignore=,$(ALONE))
	$(if $(ALONE),$(PYTEST) $(ALONE))

check: test ## the same as test

lint: $(VENV)/.dev ## the parts of test that run nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev ## measure; prints JSON lines
	$(BIN)/python -m bench

rivals: $(VENV)/.dev ## measure calls and kept answers beside arq, taskiq and cashews
	@for library in arq taskiq-redis 'cashews[redis]'; do \
		home=.rivals/$$(echo $$library | sed 's/[-[].*//'); \
		test -x $$home/bin/python || { $(PYTHON) -m venv $$home && $$home/bin/python -m pip install -qq "$$library" hiredis; } || exit 1; \
	done
	$(BIN)/python -m bench rivals

soak: $(VENV)/.dev ## the tests that take minutes
	$(PYTEST) -m soak --timeout 1800 tests

format: $(VENV)/.dev ## rewrite the code in the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

pages: $(VENV)/.embedded ## write the pages of the documentation that are made from code and models
	$(BIN)/python -m docs.generate_pipes
	$(BIN)/python -m docs.generate_gallery

clean: ## remove what make and its tools made
	rm -rf $(VENV) .rivals build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# A stamp says what is installed. It is older than pyproject.toml only after that changed, and then all is installed anew.
$(VENV)/.embedded: pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or later found; install one, or say make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Making $(VENV) with $(PYTHON) and a Redis of its own: once, about a minute …"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) || { echo "make: $(PYTHON) has no venv module; on Debian and Ubuntu install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install -qq --editable '.[embedded]'
	@touch $@

$(VENV)/.dev: $(VENV)/.embedded
	@echo "Adding the tools for development to $(VENV) …"
	@$(BIN)/python -m pip install -qq --editable '.[dev]'
	@touch $@
