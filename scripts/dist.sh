#!/bin/sh
# Makes dist/saltworks-VERSION-TARGET.tar.gz: both programs in bin/, ONNX Runtime's library in lib/, man
# pages, completions and licences. The programs are those of the wheel in dist/, built against glibc 2.28, so the
# tarball runs where nothing else is installed: unpack it, and run bin/saltworks.
#
# Needs `make wheel` (the Makefile sees to it).
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
target=x86_64-unknown-linux-gnu
glibc=2.28
python=$root/.venv/bin/python

say() { printf 'dist: %s\n' "$*" >&2; }

[ "$(uname -sm)" = "Linux x86_64" ] || { say "needs Linux on x86_64, which it makes a tarball for"; exit 1; }

cd "$root"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=saltworks-$version-$target
staged=$root/target/dist/$name
unpacked=$root/target/dist/wheel
rm -rf "$staged" "$unpacked"
mkdir -p "$staged/bin" "$staged/lib" "$staged/share/man/man1" "$staged/share/completions"
"$python" -m zipfile -e dist/saltworks_lm-*x86_64.whl "$unpacked"
for program in saltworks saltworks-train; do
    # Unpacking a zip file does not keep the right to execute.
    install -m 755 "$unpacked"/saltworks_lm-*.data/scripts/$program "$staged/bin/"
    "$staged/bin/$program" man --output "$staged/share/man/man1" > /dev/null
    for shell in bash zsh fish; do
        "$staged/bin/$program" completions "$shell" > "$staged/share/completions/$program.$shell"
    done
done
runtime=$("$python" -c 'import onnxruntime; print(onnxruntime.__path__[0])')
cp "$runtime"/capi/libonnxruntime.so.* "$staged/lib/"
mkdir "$staged/share/onnxruntime"
cp "$runtime/LICENSE" "$runtime/ThirdPartyNotices.txt" "$staged/share/onnxruntime/"
cp -R README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT LICENSES "$staged/"

# A symbol too new for an older system shows up here, and not there.
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
