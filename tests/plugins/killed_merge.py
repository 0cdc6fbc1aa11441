"""`tts-bench` in a process that dies by kill -9 at the given write of a merge."""

from __future__ import annotations

import os
import signal
import sys

from tts_bench.cli import main
from tts_bench.store import manifest, runs

writes = 0


def counted(write):
    """The same, but the process dies before the MERGE_DIES_AT-th call."""

    def die_or_write(self, *parts):
        global writes
        writes += 1
        if writes == int(os.environ["MERGE_DIES_AT"]):
            os.kill(os.getpid(), signal.Signals[os.environ.get("MERGE_SIGNAL", "SIGKILL")])
        return write(self, *parts)

    return die_or_write


runs.RunStore.append = counted(runs.RunStore.append)
manifest.Manifest.write = counted(manifest.Manifest.write)
sys.argv[0] = "tts-bench"
main()
