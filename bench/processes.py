"""The memory of the worker and of its parsers, as the kernel counts it."""

import contextlib
import re
import threading
import time
from pathlib import Path

# Parsers live for milliseconds; looking more often would take the processor from them.
EVERY = 0.02


class Peak:
    """Greatest values seen, in MiB: one process's own memory, its proportional and whole resident set; parsers together."""

    def __init__(self):
        self.worker_own = self.worker_pss = self.worker_resident = self.parsers = 0.0
        self.parsers_seen = set()

    def look(self, worker):
        own, pss = rollup(worker)
        self.worker_own, self.worker_pss = max(self.worker_own, own), max(self.worker_pss, pss)
        self.worker_resident = max(self.worker_resident, high_water(worker))
        parsers = children(worker)
        self.parsers_seen.update(parsers)
        self.parsers = max(self.parsers, sum(rollup(parser)[0] for parser in parsers))


def read(path):
    """What the kernel says, or nothing: the process may have ended meanwhile."""
    with contextlib.suppress(OSError):
        return Path(path).read_text(errors="replace")
    return ""


def megabytes(text, name):
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def rollup(pid):
    """Anonymous memory (what is the process's own, not shared buffers or program text), and PSS with all of these."""
    text = read(f"/proc/{pid}/smaps_rollup")
    return megabytes(text, "Pss_Anon"), megabytes(text, "Pss")


def high_water(pid):
    return megabytes(read(f"/proc/{pid}/status"), "VmHWM")


def children(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        found += read(task / "children").split()
    # Until it becomes another program, a new process shows the memory of the worker.
    return [int(child) for child in found if read(f"/proc/{child}/comm") == "ai-parser\n"]


@contextlib.contextmanager
def watched(worker):
    """Watches a worker, by its process number, until the block ends."""
    peak, done = Peak(), threading.Event()

    def watch():
        while not done.is_set():
            peak.look(worker)
            time.sleep(EVERY)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
        peak.look(worker)
