#!/usr/bin/env bash
# The default tests with the oldest version of each library that setup.py allows, in .venv-lowest. Arguments go to pytest.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup.sh

environment=.venv-lowest
[ -x "$environment/bin/python" ] || "${PYTHON:-python3}" -m venv "$environment" || exit 1
# What only the tests and the docs need may be as new as it is.
sed '/"docs":/,$d' setup.py | grep -oE '[A-Za-z][A-Za-z0-9_-]*(\[[a-z0-9]+\])?>=[0-9.]+' | sed -E 's/\[[a-z0-9]+\]//; s/>=/==/' \
    | sort -u > "$environment/oldest.txt"
echo "Installing the oldest versions into $environment (some minutes) ..."
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[dev]" \
    --constraint "$environment/oldest.txt" || exit 1
"$environment/bin/pytest" -n 2 --dist=worksteal "$@"
