#!/usr/bin/env bash
# The slow tests, in three parts: TensorFlow keeps what XLA compiles until its process ends, and a process that compiles for all
# of them would reach the system's limit of memory mappings. Arguments go to pytest, which then runs once.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup.sh
setup_environment dev || exit 1

status=0
run() {
    .venv/bin/pytest -n 2 --dist=worksteal -m slow "$@" || status=$?
}

if [ "$#" -gt 0 ]; then
    run "$@"
else
    run tests/phenomena
    run tests/models tests/engine tests/replay tests/policies
    run tests --ignore=tests/phenomena --ignore=tests/models --ignore=tests/engine --ignore=tests/replay --ignore=tests/policies
fi
exit "$status"
