#!/bin/sh
# From a fresh clone to passed tests: sh scripts/test.sh [options of pytest, as in -m "not slow"]
# Style, types, import layers, documentation, tests, notebooks; stops at the first that fails.
set -eu
cd "$(dirname "$0")/.."
. scripts/environment.sh
make_environment dev
PATH="$PWD/.venv/bin:$PATH"
export PATH

step() {
    echo "== $*"
    "$@"
}

step ruff check .
step ruff format --check .
step pyright
step lint-imports
step python scripts/docs_pages.py
# Tests of the code in README and docs are among the tests; nbmake runs every notebook, first because
# they take longest.
step python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal --durations 40 --durations-min 5 --nbmake \
    notebooks tests "$@"
