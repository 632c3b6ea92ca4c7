"""Case 2: Markdown objects in S3 to embedded documents, with slow and quick providers and object stores."""

import statistics
import time

import documents
from bench import wait_until_empty
from figures import Figure

OBJECTS, BUCKET, DIMENSIONS = 1000, "bench", 1536
PROVIDER_LATENCIES, STORE_LATENCIES = (0, 50, 200), (0, 50)
# Of what is reached without any latency: latency costs less than a quarter.
AIM = 0.75


def fill(bench, session, count=OBJECTS):
    """Puts the pages into the store and their addresses into a table; returns the pages."""
    pages = [documents.markdown(number) for number in range(count)]
    for number, page in enumerate(pages):
        bench.objects.put(BUCKET, f"page-{number}.md", page)
    session.query("CREATE TABLE document (id bigint PRIMARY KEY, uri text NOT NULL, seen timestamptz NOT NULL DEFAULT now())")
    session.query(f"""INSERT INTO document
        SELECT n, 's3://{BUCKET}/page-' || n || '.md' FROM generate_series(0, {count - 1}) n""")
    session.query("VACUUM ANALYZE document")
    return pages


def vectorizer(dimensions=DIMENSIONS, more=""):
    return f"""SELECT ai.create_vectorizer('document'::regclass, name => 'bench', loading => ai.loading_uri('uri'),
        embedding => ai.embedding_openai('text-embedding-3-small', {dimensions}),
        destination => ai.destination_table('document_embeddings'){more})"""


def embed(session):
    started = time.perf_counter()
    identity = session.value(vectorizer())
    return wait_until_empty(session, f"ai._vectorizer_q_{identity}") - started


def complete(session, count):
    embedded = session.number("SELECT count(DISTINCT id) FROM document_embeddings_store")
    assert embedded == count, f"{embedded} of {count} documents are embedded"


def run(bench):
    rates = {}
    with bench.database("s3_objects") as session:
        fill(bench, session)
        # The first run of all is slower by half: its files of the log are new. All others are compared with the first pair.
        embed(session)
        session.query("SELECT ai.drop_vectorizer('bench', drop_all => true)")
        for store in STORE_LATENCIES:
            for provider in PROVIDER_LATENCIES:
                bench.objects.latency(store)
                bench.provider.latency(provider)
                values = rates.setdefault((store, provider), [])
                for _ in range(bench.repeats):
                    bench.checkpoint()
                    values.append(OBJECTS / embed(session))
                    complete(session, OBJECTS)
                    session.query("SELECT ai.drop_vectorizer('bench', drop_all => true)")
                    bench.say(f"S3 {store} ms, provider {provider} ms: {values[-1]:,.0f} documents/s")
        bench.objects.latency(0)
        bench.provider.latency(0)
    quickest = statistics.median(rates[0, 0])
    for (store, provider), values in rates.items():
        where = f"S3 {store} ms, provider {provider} ms"
        yield Figure(2, f"S3 documents, {where}", "documents/s", values)
        if store or provider:
            yield Figure(2, f"of that without latency, {where}", "ratio", [v / quickest for v in values], AIM, digits=2)
