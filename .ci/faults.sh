#!/usr/bin/env bash
# The tests that need a disk of a few pages and a disk that cannot be written to. Mounting takes root or user namespaces;
# where there are neither this says so and passes, or fails if ZOETROPE_NEED_MOUNTS is set.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ "${1:-}" != mounted ]; then
    # Built outside: the mounts are seen by what runs in the namespace alone, and go with it.
    cargo test --locked --quiet --no-run --test video --test faults
    here=$(mktemp -d)
    trap 'rmdir "$here"' EXIT
    for user in "" "--map-root-user"; do
        # shellcheck disable=SC2086
        if unshare --mount $user mount -t tmpfs none "$here" 2>/dev/null; then
            # shellcheck disable=SC2086
            unshare --mount $user "${BASH_SOURCE[0]}" mounted "$here"
            exit
        fi
    done
    echo "##### NOT CHECKED: nothing can be mounted here, full and read-only disks were not tried #####"
    [ -z "${ZOETROPE_NEED_MOUNTS:-}" ]
    exit
fi

here=$2
mount -t tmpfs none "$here"
export ZOETROPE_FULL=$here/full ZOETROPE_READ_ONLY=$here/read-only
mkdir "$ZOETROPE_FULL" "$ZOETROPE_READ_ONLY"
mount -t tmpfs -o size=96k,nr_inodes=40 none "$ZOETROPE_FULL"
mount -t tmpfs -o size=96k none "$ZOETROPE_READ_ONLY"
mkdir "$ZOETROPE_READ_ONLY/frames"
mount -o remount,ro "$ZOETROPE_READ_ONLY"
cargo test --locked --quiet --test video --test faults -- --ignored --test-threads 1 --skip clips_for_players
