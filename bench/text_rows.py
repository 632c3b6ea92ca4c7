"""Case 1: rows of text to embedded chunks, against a binary COPY of the same chunks into the same kind of table."""

import statistics
import time

import documents
from bench import wait_until_empty
from figures import Figure

ROWS, CHARACTERS, DIMENSIONS = 2000, 1500, 1536
LATENCIES = (0, 50, 200)
# It is over in half a second, of which the disk makes now more and now less.
COPIES = 3
# A backfill that goes on long enough for its beginning and its end not to count.
MANY = 20 * ROWS
# At 50 ms, as a share of what COPY reaches, by layout.
AIMS = {"ours": 0.60, "pgai's": 1.00}


def fill(session, rows=ROWS, characters=CHARACTERS):
    session.query("CREATE TABLE document (id bigint PRIMARY KEY, body text NOT NULL)")
    for start in range(0, rows, 500):
        texts = [(number, documents.plain(number, characters)) for number in range(start, min(start + 500, rows))]
        values = ", ".join("({}, E'{}')".format(number, text.replace("\n", "\\n")) for number, text in texts)
        session.query(f"INSERT INTO document VALUES {values}")
    session.query("VACUUM ANALYZE document")


def vectorizer(dimensions=DIMENSIONS, more=""):
    return f"""SELECT ai.create_vectorizer('document'::regclass, name => 'bench', loading => ai.loading_column('body'),
        embedding => ai.embedding_openai('text-embedding-3-small', {dimensions}),
        destination => ai.destination_table('document_embeddings'){more})"""


def embed(session):
    """Seconds from the statement that makes the vectorizer until its queue is empty."""
    started = time.perf_counter()
    identity = session.value(vectorizer())
    return wait_until_empty(session, f"ai._vectorizer_q_{identity}") - started


# The layouts of a table that chunks are copied into. LIKE takes the storage of columns along, and no storage parameters.
LAYOUTS = {
    "ours": "ALTER TABLE copied SET ({options})",
    "pgai's": "ALTER TABLE copied ALTER embedding SET STORAGE MAIN",
}


def copy(bench, session):
    """Seconds for a bare COPY of the same chunks into an empty table with the same indexes, by its layout."""
    path = bench.server.data / "bench-chunks"
    session.query(f"COPY document_embeddings_store TO '{path}' (FORMAT binary)")
    options = session.value(
        "SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = 'document_embeddings_store'::regclass"
    )
    values = {layout: [] for layout in LAYOUTS}
    for _ in range(COPIES):
        for layout, alter in LAYOUTS.items():
            session.query("CREATE TABLE copied (LIKE document_embeddings_store INCLUDING ALL)")
            session.query(alter.format(options=options))
            bench.checkpoint()
            started = time.perf_counter()
            session.query(f"COPY copied FROM '{path}' (FORMAT binary)")
            values[layout].append(time.perf_counter() - started)
            session.query("DROP TABLE copied")
    path.unlink()
    return {layout: statistics.median(seconds) for layout, seconds in values.items()}


def measure(bench, session, latency):
    """Chunks per second; by layout of the table what COPY reaches, and the share of it; for each repetition."""
    bench.provider.latency(latency)
    rates = []
    limits, shares = {layout: [] for layout in LAYOUTS}, {layout: [] for layout in LAYOUTS}
    for _ in range(bench.repeats):
        bench.checkpoint()
        before = bench.provider.counts()["inputs"]
        seconds = embed(session)
        chunks = session.number("SELECT count(*) FROM document_embeddings_store")
        assert bench.provider.counts()["inputs"] - before == chunks, "each chunk is embedded once"
        rates.append(chunks / seconds)
        for layout, limit in copy(bench, session).items():
            limits[layout].append(chunks / limit)
            shares[layout].append(limit / seconds)
        session.query("SELECT ai.drop_vectorizer('bench', drop_all => true)")
        of_copy = ", ".join(f"COPY into {layout} {limits[layout][-1]:,.0f}/s, share {shares[layout][-1]:.2f}" for layout in LAYOUTS)
        bench.say(f"{chunks:,} at {latency} ms: {rates[-1]:,.0f} chunks/s, {of_copy}")
    bench.provider.latency(0)
    return rates, limits, shares


def figures(title, where, aims, measured):
    rates, limits, shares = measured
    yield Figure(1, title, "chunks/s", rates)
    for layout in LAYOUTS:
        yield Figure(1, f"bare binary COPY of the same chunks into {layout} layout", "chunks/s", limits[layout])
        yield Figure(1, f"share of COPY into {layout} layout{where}", "ratio", shares[layout], aims.get(layout), digits=2)


def run(bench):
    with bench.database("text_rows") as session:
        fill(session)
        # The first run of all is slower by half: its files of the log are new.
        embed(session)
        session.query("SELECT ai.drop_vectorizer('bench', drop_all => true)")
        for latency in LATENCIES:
            where = f"at {latency} ms of provider latency"
            aims = AIMS if latency == 50 else {}
            yield from figures(f"text rows {where}", f" {where}", aims, measure(bench, session, latency))
    with bench.database("many_rows") as session:
        fill(session, rows=MANY)
        measured = measure(bench, session, 50)
        yield from figures(f"{MANY:,} text rows at 50 ms of provider latency", f", {MANY:,} rows at 50 ms", {}, measured)
