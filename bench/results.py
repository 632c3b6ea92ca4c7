"""Writes what was measured, and on what, to RESULTS.md."""

import datetime
import os
import platform
import re
import subprocess
from pathlib import Path

from cluster import ROOT
from figures import markdown


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} × {models[0] if models else platform.machine()}"


def memory():
    kilobytes = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1])
    return f"{kilobytes / 2**20:.0f} GiB"


def commit():
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude", "*"], cwd=ROOT, capture_output=True, text=True
    )
    return described.stdout.strip() or "unknown"


def write(path, server, settings, repeats, load, figures):
    version = server.query("SELECT split_part(version(), ' on ', 1)")[0][0]
    vector = server.query("SELECT default_version FROM pg_available_extensions WHERE name = 'vector'")[0][0]
    shown = ", ".join(f"{name} = {value}" for name, value in settings.items())
    path.write_text(f"""# Results

Written by `make bench`. What each case does, and what its numbers mean, is in [README.md](README.md). Absolute numbers
belong to the machine below; ratios were taken within one run.

- Date: {datetime.date.today()}, commit {commit()}, profile `release`
- Machine: {processor()}, {memory()} of memory, {platform.system()} {platform.release()}; load average before the run {load:.1f}
- Server: {version}, pgvector {vector}; {shown}
- Provider, object store and client ran on the same machine. Each measurement was repeated {repeats} times.

{markdown(figures)}
""", encoding="utf-8")
