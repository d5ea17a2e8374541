#!/usr/bin/env bash
# Fuzzes every reader of files, one after the other: .ci/fuzz.sh [SECONDS_EACH [TARGET...]]. Needs a nightly compiler and
# cargo-fuzz (`cargo install cargo-fuzz --locked`), so .ci/run does not call it; tools/generate/tests/seeds.rs is what does
# without. What it finds stays in tools/fuzz/artifacts; a fixed one becomes a seed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-600}
shift $(($# > 0 ? 1 : 0))
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo +nightly fuzz list --fuzz-dir tools/fuzz)
# Files are made and read thousands of times a second: in memory where there is such a place.
[ -d /dev/shm ] && export TMPDIR=/dev/shm
for target in "${targets[@]}"; do
    echo "== $target, $seconds s"
    mkdir -p "tools/fuzz/corpus/$target"
    # A run of one input may take 5 s and 1 GiB.
    cargo +nightly fuzz run --fuzz-dir tools/fuzz "$target" "tools/fuzz/corpus/$target" "tools/fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=20000 -print_final_stats=1 2>&1 |
        grep -E '^stat::|ERROR|SUMMARY|panicked|Test unit|DONE' 
done
