#!/usr/bin/env bash
# Whether the library, the kernels and the binary compile for systems that this machine is not: everything but H.264, which
# takes a C++ compiler of the target's. Compiles up to the linker's work, which would take each system's own.
#
# Where a target's standard library cannot be had (no network, no rustup) this says so and passes, or fails if
# ZOETROPE_NEED_TARGETS is set. What cannot be compiled is always a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

targets=()
for target in x86_64-pc-windows-gnu aarch64-apple-darwin aarch64-unknown-linux-gnu; do
    if rustup target add "$target" >/dev/null 2>&1; then
        targets+=(--target "$target")
    else
        echo "##### NOT CHECKED: the standard library of $target cannot be installed here #####"
        [ -z "${ZOETROPE_NEED_TARGETS:-}" ]
    fi
done
[ ${#targets[@]} -gt 0 ] || exit 0
export RUSTFLAGS="-D warnings"
cargo check --locked --quiet -p zoetrope-engine "${targets[@]}"
cargo check --locked --quiet -p zoetrope-engine --features vulkan "${targets[@]}"
cargo check --locked --quiet -p zoetrope-generate --no-default-features "${targets[@]}"
