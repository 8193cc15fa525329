#!/usr/bin/env bash
# The slow tests, in parts: TensorFlow keeps what XLA compiles until its process ends, and a process that compiles for all of
# them would reach the system's limit of memory mappings. Arguments go to pytest, which then runs once, but for tests/reliability.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup.sh
setup_environment dev,docs || exit 1

status=0
run() {
    .venv/bin/pytest -n 2 --dist=worksteal -m slow "$@" || status=$?
}

# One test after another: they start processes, and kill those that they find.
run_alone() {
    .venv/bin/pytest -m slow "$@" || status=$?
}

exact=tests/reliability/test_exact_resume.py
exact_resume() {
    run "$exact" -k "compiled-on"
    run "$exact" -k "async-on"
    run "$exact" -k "sync-on and not async-on"
    run "$exact" -k "auto and compiled"
    run "$exact" -k "auto and not compiled"
    run "$exact" -k "not auto and not sync-on and not compiled-on"
}

if [ "$*" = tests/reliability ]; then
    exact_resume
    run tests/reliability --ignore="$exact"
elif [ "$#" -gt 0 ]; then
    run "$@"
else
    exact_resume
    run tests/phenomena/test_[a-f]*.py
    run tests/phenomena/test_[g-z]*.py
    run tests/models tests/engine tests/replay tests/policies
    run_alone tests/distributed tests/strategies
    run tests --ignore="$exact" --ignore=tests/phenomena --ignore=tests/models --ignore=tests/engine --ignore=tests/replay --ignore=tests/policies --ignore=tests/distributed --ignore=tests/strategies
fi
exit "$status"
