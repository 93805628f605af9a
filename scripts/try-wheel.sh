#!/bin/sh
# Installs a wheel with its extra `ort` into an empty environment without Rust, and runs what a new user would:
# `saltworks demo --quick`, and the Python of README.md on the labels that it made.
#
# TORCH=1 installs the extra `torch` too (some 3 GB on Linux), and runs the snippet of docs/python.md that trains
# on these labels.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
wheel=$(CDPATH='' cd -- "$(dirname -- "$1")" && pwd)/$(basename -- "$1")
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT INT TERM

"${PYTHON:-$root/.venv/bin/python}" -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$wheel[ort]"
cd "$place"
# Nothing of the checkout, and no cargo on the PATH.
clean() { env -i HOME="$place" PATH="$place/venv/bin:/usr/bin:/bin" "$@"; }
clean saltworks --version
clean saltworks-train --version
clean saltworks demo --quick --quiet --output demo
sed -n '/^```python$/,/^```$/p' "$root/README.md" | awk '/^```python/ { n++; next } /^```/ { next } n == 1' > first.py
ln -s demo/labels labels
clean python first.py
if [ "${TORCH:-0}" = 1 ]; then
    "$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$wheel[torch]"
    awk '/^## Batches for PyTorch/ { here = 1 } here && /^```python/ { code = 1; next } /^```/ { if (code) exit } code' \
        "$root/docs/python.md" > train.py
    grep -q optimizer.step train.py
    printf 'print("loss", loss.item())\n' >> train.py
    clean python train.py
    printf 'wheel: trained from the labels, by docs/python.md\n' >&2
fi
printf 'wheel: tried in an empty environment: demo --quick and the Python of README.md\n' >&2
