"""Case 7: peak memory of worker and parsers, and the write-ahead log per chunk."""

import contextlib
import time

import documents
import s3_objects
import text_rows
from bench import wait_until_empty
from figures import Figure
from processes import watched

LARGE, FEW_ROWS, MANY_ROWS = 200 * 2**20, 10_000, 100_000
# Long enough to see how memory grows, if it does, where the whole would take many minutes.
SECONDS = 90
# Flat in the number of rows, up to noise.
AIM = 1.2
WORKER = "SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE backend_type = 'ai worker'"


def peak_of(session, statement):
    """Makes the vectorizer and watches its worker until the queue is empty, or for some time."""
    # The worker is started by another vectorizer first, so that its beginning is seen too; and stays to be looked at.
    session.query("""CREATE TABLE first (id bigint PRIMARY KEY, body text NOT NULL); INSERT INTO first VALUES (1, 'text')""")
    identity = session.value("""SELECT ai.create_vectorizer('first'::regclass, loading => ai.loading_column('body'),
        embedding => ai.embedding_openai('text-embedding-3-small', 64))""")
    wait_until_empty(session, f"ai._vectorizer_q_{identity}")
    with watched(int(session.value(WORKER))) as peak:
        started = time.perf_counter()
        identity = session.value(statement)
        seconds = wait_until_empty(session, f"ai._vectorizer_q_{identity}", SECONDS) - started
    return peak, seconds


@contextlib.contextmanager
def database(bench):
    with bench.database("memory") as session:
        session.query("ALTER DATABASE memory SET ai.idle_timeout = '60s'")
        yield session


def small_documents(bench):
    with database(bench) as session:
        s3_objects.fill(bench, session)
        peak, _ = peak_of(session, s3_objects.vectorizer())
        s3_objects.complete(session, s3_objects.OBJECTS)
    return peak


def pdf_documents(bench):
    """As many PDFs, each of which goes through a parser process."""
    for number in range(s3_objects.OBJECTS):
        bench.objects.put(s3_objects.BUCKET, f"page-{number}.pdf", documents.pdf(number), "application/pdf")
    with database(bench) as session:
        session.query(f"""CREATE TABLE document (id bigint PRIMARY KEY, uri text NOT NULL);
            INSERT INTO document SELECT n, 's3://{s3_objects.BUCKET}/page-' || n || '.pdf'
            FROM generate_series(0, {s3_objects.OBJECTS - 1}) n""")
        peak, seconds = peak_of(session, s3_objects.vectorizer())
        s3_objects.complete(session, s3_objects.OBJECTS)
    bench.say(f"{s3_objects.OBJECTS:,} PDFs in {seconds:.0f} s; {len(peak.parsers_seen)} of their parsers were seen")
    return peak


def large_document(bench):
    """One text of 200 MB in chunks of 4,000 characters."""
    page = documents.plain(0, 2**20).encode()
    bench.objects.put(s3_objects.BUCKET, "large.txt", (page * (LARGE // len(page) + 1))[:LARGE], "text/plain; charset=utf-8")
    with database(bench) as session:
        session.query("""ALTER DATABASE memory SET ai.max_document_size = '256MB';
            ALTER DATABASE memory SET ai.parser_memory = '2GB'""")
        session.query(f"""CREATE TABLE document (id bigint PRIMARY KEY, uri text NOT NULL);
            INSERT INTO document VALUES (1, 's3://{s3_objects.BUCKET}/large.txt')""")
        more = ", chunking => ai.chunking_recursive_character_text_splitter(4000, 0)"
        peak, seconds = peak_of(session, s3_objects.vectorizer(more=more))
        chunks = session.number("SELECT count(*) FROM document_embeddings_store")
        failed = session.query("SELECT details FROM ai.vectorizer_errors LIMIT 1")
    # Freed again.
    bench.objects.put(s3_objects.BUCKET, "large.txt", "")
    bench.say(f"one text of 200 MB: {chunks:,.0f} chunks in {seconds:.0f} s{', failed: ' + failed[0][0] if failed else ''}")
    return peak, chunks


def queued_rows(bench, rows):
    with database(bench) as session:
        session.query("CREATE TABLE document (id bigint PRIMARY KEY, body text NOT NULL)")
        session.query(f"INSERT INTO document SELECT n, 'text number ' || n FROM generate_series(1, {rows}) n")
        session.query("VACUUM ANALYZE document")
        peak, seconds = peak_of(session, text_rows.vectorizer(dimensions=64))
        chunks = session.number("SELECT count(*) FROM document_embeddings_store")
    bench.say(f"{chunks:,.0f} of {rows:,} rows in {seconds:.0f} s, {peak.worker_own:.1f} MiB")
    return peak


def log_per_chunk(bench):
    """Bytes of the write-ahead log for a chunk of case 1: ours, and those of a bare COPY."""
    with database(bench) as session:
        text_rows.fill(session)
        bench.checkpoint()
        start = session.value("SELECT pg_current_wal_insert_lsn()")
        text_rows.embed(session)
        ours = session.number(f"SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '{start}')")
        chunks = session.number("SELECT count(*) FROM document_embeddings_store")
        path = bench.server.data / "bench-chunks"
        session.query(f"""COPY document_embeddings_store TO '{path}' (FORMAT binary);
            CREATE TABLE copied (LIKE document_embeddings_store INCLUDING ALL)""")
        bench.checkpoint()
        start = session.value("SELECT pg_current_wal_insert_lsn()")
        session.query(f"COPY copied FROM '{path}' (FORMAT binary)")
        copied = session.number(f"SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '{start}')")
        path.unlink()
    return ours / chunks, copied / chunks


def figures(what, peaks):
    yield Figure(7, f"{what}: worker, memory of its own", "MiB", [peak.worker_own for peak in peaks], digits=1)
    yield Figure(7, f"{what}: worker, PSS with shared buffers", "MiB", [peak.worker_pss for peak in peaks], digits=1)
    yield Figure(7, f"{what}: worker, resident at most (VmHWM)", "MiB", [peak.worker_resident for peak in peaks], digits=1)
    if any(peak.parsers_seen for peak in peaks):
        yield Figure(7, f"{what}: parsers together", "MiB", [peak.parsers for peak in peaks], digits=1)


def run(bench):
    # What is flat varies little, and the large ones take minutes.
    times = min(bench.repeats, 2)
    yield from figures("1,000 documents of 8 kB", [small_documents(bench) for _ in range(times)])
    yield from figures("1,000 PDFs of 8 kB of text", [pdf_documents(bench) for _ in range(times)])
    few = [queued_rows(bench, FEW_ROWS) for _ in range(times)]
    yield from figures(f"{FEW_ROWS:,} queued rows", few)
    many = [queued_rows(bench, MANY_ROWS) for _ in range(times)]
    yield from figures(f"{MANY_ROWS:,} queued rows", many)
    growth = [more.worker_own / less.worker_own for less, more in zip(few, many)]
    yield Figure(7, "ten times the rows, worker's own memory", "ratio", growth, AIM, most=True, digits=2)
    large = [large_document(bench) for _ in range(times)]
    chunks = min(chunks for _, chunks in large)
    yield from figures(f"one text of 200 MB, {chunks:,.0f} chunks", [peak for peak, _ in large])
    logs = [log_per_chunk(bench) for _ in range(times)]
    yield Figure(7, "write-ahead log per chunk", "bytes", [ours for ours, _ in logs])
    yield Figure(7, "write-ahead log per chunk, bare COPY", "bytes", [copied for _, copied in logs])
    yield Figure(7, "write-ahead log, of that of COPY", "ratio", [ours / copied for ours, copied in logs], digits=2)
