#!/bin/sh
# Makes dist/saltworks-VERSION-TARGET.tar.gz: both programs in bin/, ONNX Runtime's library in lib/, man pages,
# completions and licences. Built against glibc 2.28, so that it needs nothing else installed: unpack it and run
# bin/saltworks.
#
# Needs `make setup` (which the Makefile runs), crates.io and a Python package index.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
target=x86_64-unknown-linux-gnu
glibc=2.28
zigbuild_version=0.24.1
tools=$root/target/tools
python=$root/.venv/bin/python

say() { printf 'dist: %s\n' "$*" >&2; }

[ "$(uname -sm)" = "Linux x86_64" ] || { say "needs Linux on x86_64, which it makes a tarball for"; exit 1; }

# Both are kept in target/tools.
[ -x "$tools/bin/cargo-zigbuild" ] || cargo install --locked --root "$tools" \
    --target-dir "$tools/build" cargo-zigbuild --version "$zigbuild_version"
[ -x "$tools/zig/ziglang/zig" ] || "$python" -m pip install --quiet --require-hashes --no-deps \
    --target "$tools/zig" --requirement "$root/scripts/requirements-dist.txt"

cd "$root"
PATH=$tools/bin:$PATH CARGO_ZIGBUILD_ZIG_COMMAND=$tools/zig/ziglang/zig CARGO_PROFILE_RELEASE_STRIP=symbols \
    cargo zigbuild --locked --release --bins --target "$target.$glibc"

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=saltworks-$version-$target
staged=$root/target/dist/$name
rm -rf "$staged"
mkdir -p "$staged/bin" "$staged/lib" "$staged/share/man/man1" "$staged/share/completions" "$root/dist"
for program in saltworks saltworks-train; do
    cp "target/$target/release/$program" "$staged/bin/"
    "$staged/bin/$program" man --output "$staged/share/man/man1"
    for shell in bash zsh fish; do
        "$staged/bin/$program" completions "$shell" > "$staged/share/completions/$program.$shell"
    done
done
cp .venv/lib*/python*/site-packages/onnxruntime/capi/libonnxruntime.so.* "$staged/lib/"
mkdir "$staged/share/onnxruntime"
cp .venv/lib*/python*/site-packages/onnxruntime/LICENSE \
    .venv/lib*/python*/site-packages/onnxruntime/ThirdPartyNotices.txt "$staged/share/onnxruntime/"
cp -R README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT LICENSES "$staged/"

# What would not start on an older system is found here, not there.
newest=$(objdump -T "$staged"/bin/* "$staged"/lib/* | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
say "newest symbols: $newest"
[ "$(printf '%s\nGLIBC_%s\n' "$newest" "$glibc" | sort -V | tail -n 1)" = "GLIBC_$glibc" ] || {
    say "expected none newer than GLIBC_$glibc"
    exit 1
}
env -i "$staged/bin/saltworks" doctor >&2

tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$root/target/dist" -c "$name" |
    gzip -9n > "$root/dist/$name.tar.gz"
say "dist/$name.tar.gz, $(du -h "$root/dist/$name.tar.gz" | cut -f1)"
