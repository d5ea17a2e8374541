#!/usr/bin/env bash
# Compares the public items of the engine and of the kernels with docs/public-api.txt; --update writes that file. What is hidden from
# the documentation is not public.
#
# cargo-public-api renders rustdoc's JSON. It is installed into a folder outside the repository (ZOETROPE_CI_TOOLS, or the user's cache)
# and stays there. A version of it reads the JSON of a few compilers only: with another compiler this says so and passes, or fails if
# ZOETROPE_NEED_API is set. Then raise the version below.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=0.51.0 format=57
tools=${ZOETROPE_CI_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/zoetrope-ci}
program=$tools/bin/cargo-public-api
wanted=docs/public-api.txt
if [ "$("$program" --version 2>/dev/null)" != "cargo-public-api $version" ]; then
    # Its speed does not matter: a debug build is made in half the time.
    cargo install --quiet --debug --locked --root "$tools" "cargo-public-api@$version"
fi

# The same crates and features as .ci/run's documentation, so that nothing is compiled twice.
RUSTDOCFLAGS='' RUSTDOC=$PWD/.ci/rustdoc-json cargo doc --locked --quiet --workspace --exclude zoetrope-shaders --no-deps --all-features
made=${CARGO_TARGET_DIR:-target}/doc
found=$(grep -o '"format_version":[0-9]*' "$made/zoetrope.json" | cut -d : -f 2)
if [ "$found" != "$format" ]; then
    echo "##### NOT CHECKED: $(rustc --version) writes JSON $found, cargo-public-api $version reads $format #####"
    [ -z "${ZOETROPE_NEED_API:-}" ]
    exit
fi

now=$(mktemp)
trap 'rm "$now"' EXIT
for crate in zoetrope zoetrope_kernels; do
    # Without derived and automatic implementations.
    "$program" public-api --rustdoc-json "$made/$crate.json" -sss
    echo
done >"$now"
if [ "${1:-}" = --update ]; then
    cp "$now" "$wanted"
elif ! diff -u "$wanted" "$now"; then
    echo "the public interface has changed: if that is meant, run .ci/api.sh --update and commit $wanted" >&2
    exit 1
fi
echo "$(grep -c . "$wanted") public items"
