#!/usr/bin/env bash
# Installs polyrl with what its tests need, then checks style (ruff), types (mypy) and behaviour (pytest).
# Arguments go to pytest:  bash scripts/test.sh tests/replay. The slow tests: scripts/slow.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup.sh
setup_environment dev

.venv/bin/ruff format --check .
.venv/bin/ruff check .
.venv/bin/mypy
# One process for each of two cores; each of them starts TensorFlow once.
.venv/bin/pytest -n 2 --dist=worksteal "$@"
