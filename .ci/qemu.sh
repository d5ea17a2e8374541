#!/bin/sh
# Runs the kernels' tests on an emulated x86-64 processor without AVX, AVX2, FMA and F16C (Nehalem, 2008): an instruction
# that slips past the run-time choice of the instruction set dies there, whatever this machine has.
set -eu
cd "$(dirname "$0")/.."

if ! command -v qemu-x86_64 >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends qemu-user
fi

# The executables of `cargo test`, so that nothing is compiled twice: those of the kernels, examples and libraries left out.
tests=$(cargo test --locked --no-run --message-format=json | grep '"reason":"compiler-artifact"' |
    grep '/kernels/Cargo.toml"' | grep '"test":true' | grep -o '"executable":"[^"]*"' | cut -d '"' -f 4)
ops=$(echo "$tests" | grep '/ops-')
unit=$(echo "$tests" | grep -v '/ops-')
test -x "$ops"
test -x "$unit"

guard=levels_are_those_of_the_processor
passes() { "$@" --exact "$guard" 2>&1 | grep -q '1 passed'; }
export ZOETROPE_TEST_LEVELS=portable
# The guard itself: it sees no AVX2 there, refuses to be forced to it, and would notice AVX2 where this machine has it.
passes qemu-x86_64 -cpu Nehalem "$ops"
passes env ZOETROPE_SIMD=avx2 qemu-x86_64 -cpu Nehalem "$ops"
if grep -qw avx2 /proc/cpuinfo && passes "$ops"; then
    echo "the guard does not notice AVX2" >&2
    exit 1
fi

# Two minutes at most, emulated; some twenty seconds are usual.
timeout 60 qemu-x86_64 -cpu Nehalem "$unit"
timeout 60 qemu-x86_64 -cpu Nehalem "$ops"
