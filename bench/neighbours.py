"""Case 6: what a backfill at full speed does to the transactions of others."""

import random
import re
import subprocess

import text_rows
from cluster import Failure, clean_environment
from figures import Figure

SCALE, CLIENTS, SECONDS = 10, 4, 10
# More than can be embedded while pgbench runs.
ROWS = 120_000


def pgbench(bench, *arguments):
    command = [bench.server.bindir / "pgbench", "-h", bench.server.socket_folder, "-p", bench.server.port, "-U", "postgres"]
    done = subprocess.run(
        [str(part) for part in [*command, *arguments, "neighbours"]],
        env=clean_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )
    if done.returncode != 0:
        raise Failure(f"pgbench failed: {done.stderr.strip()[-500:]}")
    return done.stdout


def transactions(bench):
    """Transactions per second, and the 99th percentile of their milliseconds."""
    prefix = bench.folder / f"pgbench-{random.randrange(10**9)}"
    bench.checkpoint()
    said = pgbench(bench, "-n", "-M", "prepared", "-c", CLIENTS, "-j", "2", "-T", SECONDS, "-l", f"--log-prefix={prefix}")
    microseconds = []
    for log in bench.folder.glob(prefix.name + ".*"):
        microseconds += [int(line.split()[2]) for line in log.read_text().splitlines()]
        log.unlink()
    microseconds.sort()
    return float(re.search(r"^tps = ([0-9.]+)", said, re.MULTILINE)[1]), microseconds[len(microseconds) * 99 // 100] / 1000


def run(bench):
    alone, beside = [], []
    with bench.database("neighbours") as session:
        pgbench(bench, "-i", "-q", "-s", SCALE)
        text_rows.fill(session, ROWS, 700)
        for _ in range(bench.repeats):
            alone.append(transactions(bench))
            identity = session.value(text_rows.vectorizer())
            beside.append(transactions(bench))
            if session.value(f"SELECT EXISTS (SELECT FROM ai._vectorizer_q_{identity})") != "t":
                raise Failure("the backfill was over before pgbench: more rows are needed")
            chunks = session.number("SELECT count(*) FROM document_embeddings_store")
            session.query("SELECT ai.drop_vectorizer('bench', drop_all => true)")
            bench.say(f"alone {alone[-1][0]:,.0f} tps, p99 {alone[-1][1]:.1f} ms; beside {chunks / SECONDS:,.0f} chunks/s "
                      f"{beside[-1][0]:,.0f} tps, p99 {beside[-1][1]:.1f} ms")
    yield Figure(6, "pgbench alone", "tps", [tps for tps, _ in alone])
    yield Figure(6, "pgbench beside a backfill", "tps", [tps for tps, _ in beside])
    yield Figure(6, "of that alone", "ratio", [b[0] / a[0] for a, b in zip(alone, beside)], digits=2)
    yield Figure(6, "pgbench alone, p99", "ms", [p99 for _, p99 in alone], digits=1)
    yield Figure(6, "pgbench beside a backfill, p99", "ms", [p99 for _, p99 in beside], digits=1)
