#!/bin/sh
# From a fresh clone to the documentation as a static site in ./site: sh scripts/docs.sh
# Strict: a link, an anchor or a reference that leads nowhere fails. `sh scripts/docs.sh serve` shows the site at
# http://localhost:8000; start it again after a change.
set -eu
cd "$(dirname "$0")/.."
. scripts/environment.sh
make_environment docs
PATH="$PWD/.venv/bin:$PATH"
export PATH
python scripts/docs_pages.py
if [ "${1:-}" = serve ]; then exec zensical serve; fi
echo "open site/index.html in a browser"
