"""Case 4: from the commit of an INSERT to an embedding that others can see."""

import statistics
import time

import documents
from bench import LOOK_EVERY
from cluster import Failure
from figures import Figure

# Enough for a 99th percentile that is not simply the worst.
WITH_WORKER, WITHOUT_WORKER = 200, 100
WORKERS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'ai worker'"
AIM = 50
PATIENCE = 60


def percentile(values, share):
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


def insert_and_see(session, number):
    """Milliseconds from the answer to the INSERT (which commits itself) until the chunk is there."""
    text = documents.plain(number, 400).replace("\n", " ").replace("'", "")
    session.query(f"INSERT INTO document VALUES ({number}, '{text}')")
    committed = time.perf_counter()
    while session.value(f"SELECT EXISTS (SELECT FROM document_embeddings_store WHERE id = {number})") != "t":
        if time.perf_counter() - committed > PATIENCE:
            raise Failure(f"row {number} was not embedded within {PATIENCE} s; see the log of Postgres")
        # Half a millisecond of error, and a processor that is free for the worker.
        time.sleep(0.0005)
    return 1000 * (time.perf_counter() - committed)


def wait_for_no_worker(session):
    deadline = time.monotonic() + PATIENCE
    while session.value(WORKERS) != "0":
        if time.monotonic() > deadline:
            raise Failure(f"an idle worker did not leave within {PATIENCE} s")
        time.sleep(LOOK_EVERY)


def measure(bench, latency, alone):
    """Each repetition's median and 99th percentile, in milliseconds above the provider's own time."""
    medians, worst = [], []
    # The provider may be asked once for each text, and does nothing but wait.
    bench.provider.latency(latency)
    with bench.database("freshness") as session:
        session.query("CREATE TABLE document (id bigint PRIMARY KEY, body text NOT NULL)")
        # Long enough that the worker stays, or so short that it has left before the next row.
        session.query(f"ALTER DATABASE freshness SET ai.idle_timeout = '{'50ms' if alone else '60s'}'")
        session.query("""SELECT ai.create_vectorizer('document'::regclass, name => 'bench', loading => ai.loading_column('body'),
            embedding => ai.embedding_openai('text-embedding-3-small', 1536),
            destination => ai.destination_table('document_embeddings'))""")
        insert_and_see(session, 0)
        number = 0
        for _ in range(bench.repeats):
            values = []
            for _ in range(WITHOUT_WORKER if alone else WITH_WORKER):
                number += 1
                if alone:
                    wait_for_no_worker(session)
                values.append(insert_and_see(session, number) - latency)
            medians.append(percentile(values, 50))
            worst.append(percentile(values, 99))
            bench.say(f"{latency} ms, {'no worker' if alone else 'worker there'}: p50 {medians[-1]:.1f}, p99 {worst[-1]:.1f} ms")
    bench.provider.latency(0)
    return medians, worst


def run(bench):
    for alone, name in ((False, "worker there"), (True, "worker has left")):
        for latency in (0, 50):
            medians, worst = measure(bench, latency, alone)
            where = f"{name}, provider {latency} ms"
            yield Figure(4, f"commit to visible embedding above the provider's time, p50, {where}", "ms", medians, AIM, most=True, digits=1)
            yield Figure(4, f"the same, p99, {where}", "ms", worst, digits=1)
