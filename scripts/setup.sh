#!/bin/sh
# Makes .venv at the root of the repository, with ONNX Runtime and the packages with which tests read shards, at the
# versions and hashes of scripts/requirements.txt. Safe to run again: if done, it returns at once. With the argument
# `torch` it makes .venv-torch from scripts/requirements-torch.txt, which adds PyTorch; with `scale` .venv-scale from
# scripts/requirements-scale.txt, which adds Ray, datatrove, an S3 server and the schemas of Kubernetes.
#
# PYTHON=/path/to/python selects the interpreter. pip's own environment and configuration (HTTPS_PROXY,
# PIP_INDEX_URL, PIP_CERT, pip.conf) are honoured.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
suffix=${1:+-$1}
requirements=$root/scripts/requirements$suffix.txt
venv=$root/.venv$suffix
contents="ONNX Runtime and the tests' readers"
size="about 150 MB"
case $suffix in
-torch) contents="the same and PyTorch"; size="some 3 GB on Linux" ;;
-scale) contents="the same, Ray, datatrove, moto and the schemas of Kubernetes"; size="some 300 MB" ;;
esac
stamp=$venv/saltworks-requirements.txt

say() { printf 'setup: %s\n' "$*" >&2; }

# The pinned wheels exist for 64-bit CPython 3.11 to 3.14.
is_usable() {
    "$1" -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 14)
        and sys.implementation.name == "cpython" and sys.maxsize > 2**32))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_usable "$PYTHON" && printf '%s\n' "$PYTHON"
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if is_usable "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

explain_python() {
    say "needs 64-bit CPython 3.11 to 3.14 (onnxruntime 1.32 and numpy 2.4 have no wheels for 3.10)."
    if [ -n "${PYTHON:-}" ]; then
        say "PYTHON=$PYTHON is not one of those."
    fi
    say "  Debian, Ubuntu: sudo apt install python3 python3-venv    (Ubuntu 22.04: python3.11 python3.11-venv)"
    say "  Fedora, RHEL:   sudo dnf install python3.12"
    say "  macOS:          brew install python@3.12"
    say "Then run it again, or name an interpreter: PYTHON=/path/to/python make setup"
}

explain_venv() {
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    say "$1 cannot make a virtual environment: its venv or ensurepip module is missing (see above)."
    say "  Debian, Ubuntu: sudo apt install python3-venv    (or python$version-venv)"
    say "  Fedora, RHEL:   sudo dnf install python3-pip"
    say "  macOS:          brew install python@3.12"
    say "Then run it again."
}

explain_pip() {
    say "pip could not install the pinned wheels (see above). It needs a Python package index:"
    say "  behind a proxy set HTTPS_PROXY; for a mirror set PIP_INDEX_URL; for its certificate PIP_CERT."
    say "Wheels exist for Linux (glibc) on x86_64 and aarch64, and for macOS 14 or newer on arm64."
}

if [ -f "$stamp" ] && cmp -s "$requirements" "$stamp" && is_usable "$venv/bin/python"; then
    exit 0
fi

if ! python=$(find_python); then
    explain_python
    exit 1
fi

# An environment whose interpreter is gone or too old is made anew; another one is only brought up to date.
if ! is_usable "$venv/bin/python" || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    say "making .venv$suffix with $("$python" --version 2>&1)"
    if ! "$python" -m venv --clear "$venv"; then
        explain_venv "$python"
        exit 1
    fi
fi

say "installing $contents into .venv$suffix ($size to fetch, once)"
if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
    --require-hashes --only-binary=:all: -r "$requirements"; then
    explain_pip
    exit 1
fi
cp "$requirements" "$stamp"
say "done: $venv"
