# The commands of development. Each installs what it needs into .venv first, once.
.DEFAULT_GOAL := help
.PHONY: help setup check fast slow format

# One process for each of two cores, as in scripts/test.sh. `make fast TESTS=tests/replay` runs a part.
PYTEST := .venv/bin/pytest -n 2 --dist=worksteal
TESTS ?=

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup:  ## install polyrl and the development tools into .venv
	@bash -c 'source scripts/setup.sh && setup_environment dev'

check:  ## all that has to pass: format, lint, types, and the fast tests
	bash scripts/test.sh $(TESTS)

fast: setup  ## the fast tests alone, about 7 minutes on two cores
	$(PYTEST) $(TESTS)

slow: setup  ## the slow tests alone: seconds to minutes each
	bash scripts/slow.sh $(TESTS)

format: setup  ## write the format, and mend what the linter can
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .
