# Sourced by the other scripts from the top folder. `make_environment` leaves ./.venv with pinnwx in it.
# Set PYTHON to choose the interpreter the environment is made with.

recent='import sys; sys.exit(sys.version_info < (3, 11))'

# The first Python that is 3.11 or newer.
find_python() {
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python; do
        if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c "$recent" 2>/dev/null; then
            echo "$candidate"
            return
        fi
        if [ "$candidate" = "${PYTHON:-}" ]; then break; fi
    done
    found=$("${PYTHON:-python3}" --version 2>&1) || found="no working ${PYTHON:-python3}"
    echo "pinnwx needs Python 3.11 or newer, found $found; install one, or name it: PYTHON=/path/to/python3.12 sh $0" >&2
    return 1
}

# Whether this pyproject.toml is installed, with the extra if one is named. Spares a second run pip and the network.
is_installed() {
    for stamp in .venv/installed"${1:+-$1}"*.toml; do
        if cmp -s pyproject.toml "$stamp"; then return 0; fi
    done
    return 1
}

# make_environment [EXTRA]
make_environment() {
    extra=${1:-}
    if [ ! -x .venv/bin/python ]; then
        python=$(find_python) || exit 1
        echo "making .venv with $("$python" --version)"
        "$python" -m venv .venv || {
            rm -rf .venv
            echo "$python cannot make a virtual environment; install its venv module (Debian: python3-venv)" >&2
            exit 1
        }
    fi
    .venv/bin/python -c "$recent" 2>/dev/null || {
        echo ".venv is broken or older than Python 3.11; delete it and start again: rm -r .venv" >&2
        exit 1
    }
    if ! is_installed "$extra"; then
        echo "installing pinnwx and what it needs into .venv"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".${extra:+[$extra]}"
        cp pyproject.toml ".venv/installed${extra:+-$extra}.toml"
    fi
}
