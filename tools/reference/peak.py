"""Runs a command and reports its private peak: the highest RssAnon of it and its children, sampled every 20 ms.

    python peak.py COMMAND [ARGUMENT...]

Mapped files do not count (they are the page cache's), heaps and stacks do. The report goes to stderr, the command's
exit code is passed on. Linux only.
"""

import os
import pathlib
import signal
import subprocess
import sys
import time

INTERVAL = 0.02


def family(pid):
    """The process and all that descend from it, as far as they still run."""
    pids, at = [pid], 0
    while at < len(pids):
        try:
            for task in pathlib.Path(f"/proc/{pids[at]}/task").iterdir():
                pids += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            pass
        at += 1
    return pids


def private(pid):
    """RssAnon of one process in bytes; 0 when it is gone."""
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def main():
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if len(sys.argv) > 1 else 2
    start, peak = time.monotonic(), 0
    try:
        child = subprocess.Popen(sys.argv[1:])
    except OSError as error:
        print(f"peak.py: {sys.argv[1]}: {error.strerror}", file=sys.stderr)
        return 127
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    while child.poll() is None:
        peak = max(peak, sum(private(pid) for pid in family(child.pid)))
        time.sleep(INTERVAL)
    seconds = time.monotonic() - start
    print(f"private peak {peak / 2**20:.1f} MiB, {seconds:.2f} s, exit code {child.returncode}", file=sys.stderr)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


if __name__ == "__main__":
    sys.exit(main())
