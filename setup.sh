#!/bin/sh
# Make a virtual environment with surprax and all it takes to test, lint and time it. Called by the Makefile.
set -eu
venv=$1
needed="3, 12"

recent() { "$1" -c "import sys; sys.exit(sys.version_info < ($needed))" >/dev/null 2>&1; }

if command -v uv >/dev/null 2>&1; then
    uv venv --quiet --allow-existing ${PYTHON:+--python "$PYTHON"} "$venv"
    VIRTUAL_ENV=$venv uv pip install --quiet --constraint constraints.txt --editable ".[dev]"
    exit 0
fi

chosen=
for candidate in ${PYTHON:-python3.12 python3.13 python3.14 python3 python}; do
    if command -v "$candidate" >/dev/null 2>&1 && recent "$candidate"; then
        chosen=$candidate
        break
    fi
done
if [ -z "$chosen" ]; then
    found=$(command -v "${PYTHON:-python3}" >/dev/null 2>&1 && "${PYTHON:-python3}" --version 2>&1 || echo "no Python")
    echo "surprax needs Python 3.12 or newer; found $found. Install one (or uv, which brings its own) and run make again," \
        "or name one: make PYTHON=/path/to/python3.12 ..." >&2
    exit 1
fi
echo "Setting up $venv with $("$chosen" --version); this takes a minute or two."
recent "$venv/bin/python" || { rm -rf "$venv"; "$chosen" -m venv "$venv"; }
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
