"""Case 8: what it costs to claim a document when a million are queued, against ten thousand."""

import time

from cluster import Failure
from figures import Figure

SHORT, LONG = 10_000, 1_000_000
# As many in both: with more, the dead rows of those that are done would be counted against the long queue.
TAKEN = 8_000
# Or as many as are taken in this time. A worker that has taken none by then is stuck.
SECONDS = 30
# Time may grow by what the noise of such a machine is.
AIM = 1.2
CLAIM = """FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid AND d.datname = current_database()
    WHERE s.query LIKE '%candidate AS MATERIALIZED%'"""


def claim_time(bench, rows):
    """Microseconds per document that a claim returns, and milliseconds per claim, over the first documents."""
    with bench.database("claims") as session:
        session.query("""CREATE EXTENSION pg_stat_statements; ALTER DATABASE claims SET pg_stat_statements.track = 'all';
            CREATE TABLE document (id bigint PRIMARY KEY, body text NOT NULL)""")
        session.query(f"INSERT INTO document SELECT n, 'text number ' || n FROM generate_series(1, {rows}) n")
        session.query("VACUUM ANALYZE document")
        bench.checkpoint()
        session.query("""SELECT ai.create_vectorizer('document'::regclass, name => 'bench', loading => ai.loading_column('body'),
            embedding => ai.embedding_openai('text-embedding-3-small', 64),
            destination => ai.destination_table('document_embeddings'))""")
        deadline = time.monotonic() + SECONDS
        while True:
            taken, calls, milliseconds = (float(v) for v in session.query(
                f"SELECT coalesce(sum(s.rows), 0), coalesce(sum(s.calls), 0), coalesce(sum(s.total_exec_time), 0) {CLAIM}")[0])
            if taken >= TAKEN or taken and time.monotonic() > deadline:
                break
            if time.monotonic() > deadline + SECONDS:
                raise Failure(f"none of {rows} documents was taken within {2 * SECONDS} s; see the log of Postgres")
            time.sleep(0.05)
        return 1000 * milliseconds / taken, milliseconds / calls


def run(bench):
    short, long = [], []
    for _ in range(bench.repeats):
        for rows, values in ((SHORT, short), (LONG, long)):
            values.append(claim_time(bench, rows))
            bench.say(f"{rows:,} queued: {values[-1][0]:.1f} µs per document, {values[-1][1]:.2f} ms per claim")
    for rows, values in ((SHORT, short), (LONG, long)):
        yield Figure(8, f"claim, {rows:,} documents queued", "µs/document", [value[0] for value in values], digits=1)
        yield Figure(8, f"claim, {rows:,} documents queued", "ms/claim", [value[1] for value in values], digits=2)
    growth = [many[0] / few[0] for many, few in zip(long, short)]
    yield Figure(8, "claim of a document, a million queued against ten thousand", "ratio", growth, AIM, most=True, digits=2)
