#!/bin/sh
# Makes dist/saltworks_lm-VERSION-py3-none-manylinux_2_28_ARCH.whl (both programs and the Python package) and
# the source distribution, then installs the wheel into an empty environment without Rust and tries it there.
#
# ARCH=aarch64 cross-compiles; such a wheel is not tried. maturin, and zig as the linker, come from a Python
# package index at the versions and hashes of scripts/requirements-wheel.txt. Needs `make setup`.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
arch=${ARCH:-$(uname -m)}
tools=$root/target/tools/wheel
python=$root/.venv/bin/python

say() { printf 'wheel: %s\n' "$*" >&2; }

[ "$(uname -s)" = Linux ] || { say "needs Linux, which it makes wheels for (elsewhere: pip install maturin; maturin build --release)"; exit 1; }

if ! cmp -s "$root/scripts/requirements-wheel.txt" "$tools/requirements.txt"; then
    "$python" -m venv --clear "$tools"
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        --require-hashes --only-binary=:all: --requirement "$root/scripts/requirements-wheel.txt"
    cp "$root/scripts/requirements-wheel.txt" "$tools/requirements.txt"
fi

cd "$root"
mkdir -p dist
rm -f dist/saltworks_lm-*"$arch".whl
# maturin finds zig as `python -m ziglang` of its own environment.
PATH=$tools/bin:$PATH "$tools/bin/maturin" build --release --locked --zig --compatibility manylinux_2_28 \
    --target "$arch-unknown-linux-gnu" --out dist
"$tools/bin/maturin" sdist --out dist
wheel=$(ls dist/saltworks_lm-*"$arch".whl)
say "$wheel, $(du -h "$wheel" | cut -f1)"
[ "$arch" = "$(uname -m)" ] || exit 0
sh scripts/try-wheel.sh "$wheel"
