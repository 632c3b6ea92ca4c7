"""Case 8: what it costs to claim a document when a million are queued, against ten thousand."""

import statistics
import time

from cluster import Failure
from figures import Figure

SHORT, LONG = 10_000, 1_000_000
# As many in both: with more, the dead rows of those that are done would be counted against the long queue.
TAKEN = 8_000
# Or as many as are taken in this time. A worker that has taken none by then is stuck.
SECONDS = 30
# They are over in a tenth of a second, of which the machine may take away a fourth for something else.
TRIES = 3
# Time may grow by what the noise of such a machine is; an index of a million entries is a level deeper.
AIM = 1.2
CLAIM = """FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid AND d.datname = current_database()
    WHERE s.query LIKE '%candidate AS MATERIALIZED%'"""


def claim(bench, rows):
    """Over the first documents: microseconds per document that a claim returns, milliseconds per claim, and pages that it
    looks at per document."""
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
            taken, calls, milliseconds, pages = (float(v) for v in session.query(
                f"""SELECT coalesce(sum(s.rows), 0), coalesce(sum(s.calls), 0), coalesce(sum(s.total_exec_time), 0),
                           coalesce(sum(s.shared_blks_hit + s.shared_blks_read), 0) {CLAIM}""")[0])
            if taken >= TAKEN or taken and time.monotonic() > deadline:
                break
            if time.monotonic() > deadline + SECONDS:
                raise Failure(f"none of {rows} documents was taken within {2 * SECONDS} s; see the log of Postgres")
            time.sleep(0.05)
        return 1000 * milliseconds / taken, milliseconds / calls, pages / taken


def run(bench):
    short, long = [], []
    for _ in range(bench.repeats):
        tries = [(claim(bench, SHORT), claim(bench, LONG)) for _ in range(TRIES)]
        for rows, values, found in zip((SHORT, LONG), (short, long), zip(*tries)):
            values.append([statistics.median(value) for value in zip(*found)])
            per_document, per_claim, pages = values[-1]
            bench.say(f"{rows:,} queued: {per_document:.1f} µs per document, {per_claim:.2f} ms per claim, {pages:.1f} pages per document")
    for rows, values in ((SHORT, short), (LONG, long)):
        what = f"claim, {rows:,} documents queued"
        for place, (unit, digits) in enumerate((("µs/document", 1), ("ms/claim", 2), ("pages/document", 1))):
            yield Figure(8, what, unit, [value[place] for value in values], digits=digits)
    for place, what in ((0, "time"), (2, "pages")):
        growth = [many[place] / few[place] for many, few in zip(long, short)]
        yield Figure(8, f"{what} to claim a document, a million queued against ten thousand", "ratio", growth, AIM, most=True, digits=2)
