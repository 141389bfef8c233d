#!/bin/sh
# From a fresh clone to a verified forecast: sh scripts/demo.sh [options of pinnwx demo]
# Needs Python 3.11 or newer with pip. The network is used for the first installation only.
set -eu
cd "$(dirname "$0")/.."
. scripts/environment.sh
make_environment
# A second --out, the user's, takes the place of the first.
exec .venv/bin/pinnwx demo --out demo "$@"
