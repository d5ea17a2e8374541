#!/usr/bin/env bash
# Runs the kernels' tests as aarch64 with NEON, emulated. Takes minutes, so that .ci/run does not call it: run it when the
# kernels change. Needs rustup; QEMU is installed. The target is linked statically against musl by Rust's own linker, which
# takes no compiler of another system.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=aarch64-unknown-linux-musl
rustup target add "$target"
command -v qemu-aarch64 >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends qemu-user; }

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER=qemu-aarch64
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUSTFLAGS="-C linker-flavor=ld.lld -C link-self-contained=yes"
cargo test --locked -p zoetrope-kernels --lib --test ops --target "$target" "$@"
