"""`make bench`: measures an optimised build against the aims and writes bench/RESULTS.md (with a peer, bench/RESULTS-pgai.md).

    CASE="1 3"   only these cases
    PEER=pgai    cases 1 to 4 with pgai as well, in the same run
    REPEATS=3    how often each measurement is repeated
    SETTINGS="fsync=off"  other settings of the server, to find out what they cost
"""

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parent
sys.path.insert(0, str(BENCH.parent / "tests" / "support"))
from cluster import ROOT, Failure, bin_folder, cluster, reachable  # noqa: E402

import peer  # noqa: E402
import results  # noqa: E402
import servers  # noqa: E402
from bench import Bench  # noqa: E402
from figures import plain  # noqa: E402

MAJOR = os.environ.get("PG", "15")
CASES = {
    1: "text_rows",
    2: "s3_objects",
    3: "changes",
    4: "freshness",
    5: "trigger",
    6: "neighbours",
    7: "memory",
    8: "claims",
}
# A server for work: everything durable, and checkpoints rare enough that no run is hit by one by chance. Checkpoints are
# made before each measurement instead.
SETTINGS = {
    "shared_preload_libraries": "ai,pg_stat_statements",
    # For case 8 alone, which sets it for its database.
    "pg_stat_statements.track": "none",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
}


def chosen():
    names = os.environ.get("CASE", "").replace(",", " ").split() or [str(number) for number in CASES]
    unknown = [name for name in names if not name.isdigit() or int(name) not in CASES]
    if unknown:
        raise Failure(f"there is no case {' '.join(unknown)}; there are {' '.join(map(str, CASES))}")
    return [int(name) for name in names]


def repeats():
    number = os.environ.get("REPEATS", "5")
    if not number.isdigit() or number == "0":
        raise Failure(f"REPEATS is a number from 1, not {number}")
    return int(number)


def settings():
    own = dict(pair.split("=", 1) for pair in os.environ.get("SETTINGS", "").split() if "=" in pair)
    return {**SETTINGS, **own}


def peer_wanted():
    name = os.environ.get("PEER", "")
    if name not in ("", "pgai"):
        raise Failure(f"PEER is pgai or nothing, not {name}")
    return bool(name)


def main():
    cases, times, with_settings, with_peer = chosen(), repeats(), settings(), peer_wanted()
    # Who measures beside others should be able to see it afterwards; the build makes load of its own.
    load = os.getloadavg()[0]
    tree = ROOT / ".setup" / f"postgres-{MAJOR}"
    build = [ROOT / "tests" / "support" / "build.sh", "--release", bin_folder(tree, MAJOR) / "pg_config"]
    if subprocess.run(build, cwd=ROOT, stdin=subprocess.DEVNULL).returncode != 0:
        raise Failure("the build failed, see above")
    programs = servers.build()
    if with_peer:
        peer.setup()
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        place, folder = stack.enter_context(reachable(tree, BENCH / ".run"))
        provider = stack.enter_context(servers.provider(programs, folder))
        objects = stack.enter_context(servers.objects(programs, folder))
        environment = {
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": objects.address,
            "OPENAI_API_KEY": "bench",
            "OPENAI_BASE_URL": provider.base_url,
        }
        server = stack.enter_context(cluster(bin_folder(place, MAJOR), folder, with_settings, environment))
        server.data = folder / "data"
        bench = Bench(server, provider, objects, times, folder)
        figures = []
        name = "RESULTS-pgai.md" if with_peer else "RESULTS.md"
        for number in cases:
            case = importlib.import_module(CASES[number])
            print(f"\n--- case {number}: {case.__doc__.strip().splitlines()[0].removeprefix(f'Case {number}: ')}", flush=True)
            begun = time.monotonic()
            ours = list(case.run(bench))
            figures += ours
            if with_peer and number in peer.CASES:
                figures += peer.run(number, bench, ours)
            print(f"    {time.monotonic() - begun:.0f} s", flush=True)
            # After each, so that a long run that is ended early leaves what it found.
            results.write(BENCH / name, server, with_settings, times, load, figures)
        print("\n" + plain(figures))
        print(f"\nbench/{name} is written; it took {time.monotonic() - started:.0f} s")


def ended(number, _frame):
    raise SystemExit(128 + number)


if __name__ == "__main__":
    os.umask(0o022)
    sys.stdout.reconfigure(line_buffering=True)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ended)
    try:
        main()
    except Failure as failure:
        print(f"\nbench: {failure}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nstopped")
        sys.exit(130)
