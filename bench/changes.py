"""Case 3: what a touch of all rows costs, and a one-line edit of every object."""

import time

import documents
import s3_objects
from bench import wait_until_empty
from figures import Figure

# Chunks that were not there before, each as often as it is new: what any system has to embed.
NEW_CHUNKS = """SELECT coalesce(sum(greatest(n.times - coalesce(b.times, 0), 0)), 0) FROM
    (SELECT id, chunk, count(*) AS times FROM document_embeddings_store GROUP BY id, chunk) n
    LEFT JOIN (SELECT id, chunk, count(*) AS times FROM stored_before GROUP BY id, chunk) b USING (id, chunk)"""


class Round:
    """Touches all rows and waits; what that cost."""

    def __init__(self, bench, session, queue):
        inputs, gets = bench.provider.counts()["inputs"], bench.objects.counts()
        started = time.perf_counter()
        session.query("UPDATE document SET seen = clock_timestamp()")
        self.seconds = wait_until_empty(session, queue) - started
        after = bench.objects.counts()
        self.inputs = bench.provider.counts()["inputs"] - inputs
        self.requests, self.bytes = after["gets"] - gets["gets"], after["bytes"] - gets["bytes"]


def run(bench):
    count = s3_objects.OBJECTS
    touches, edits, first, minimum, size = [], [], [], [], []
    with bench.database("changes") as session:
        pages = s3_objects.fill(bench, session)
        for _ in range(bench.repeats):
            for number, page in enumerate(pages):
                bench.objects.put(s3_objects.BUCKET, f"page-{number}.md", page)
            bench.checkpoint()
            first.append(count / s3_objects.embed(session))
            queue = session.value("SELECT queue::text FROM ai._vectorizer")
            touches.append(Round(bench, session, queue))
            session.query("CREATE TABLE stored_before AS SELECT id, chunk FROM document_embeddings_store")
            size.append(0)
            for number, page in enumerate(pages):
                new = documents.edited(page, number)
                size[-1] += len(new.encode())
                bench.objects.put(s3_objects.BUCKET, f"page-{number}.md", new)
            edits.append(Round(bench, session, queue))
            minimum.append(session.number(NEW_CHUNKS))
            s3_objects.complete(session, count)
            session.query("DROP TABLE stored_before; SELECT ai.drop_vectorizer('bench', drop_all => true)")
            bench.say(f"touch: {touches[-1].inputs} inputs, {touches[-1].bytes:,} bytes of S3 in {touches[-1].seconds:.2f} s; "
                      f"edit: {edits[-1].inputs} inputs of {minimum[-1]:.0f} needed in {edits[-1].seconds:.2f} s")
    yield Figure(3, "documents at first", "documents/s", first)
    yield Figure(3, "documents after a touch of all rows", "documents/s", [count / r.seconds for r in touches])
    yield Figure(3, "provider inputs after a touch", "inputs", [r.inputs for r in touches], 0, most=True)
    yield Figure(3, "S3 requests after a touch, per document", "requests", [r.requests / count for r in touches], 1, most=True, digits=2)
    yield Figure(3, "bytes of S3 after a touch", "bytes", [r.bytes for r in touches], 0, most=True)
    yield Figure(3, "documents after an edit of a line in each", "documents/s", [count / r.seconds for r in edits])
    share = [r.inputs / least for r, least in zip(edits, minimum)]
    yield Figure(3, "provider inputs after an edit, of the chunks it touched", "ratio", share, 1, most=True, digits=2)
    share = [r.bytes / length for r, length in zip(edits, size)]
    yield Figure(3, "bytes of S3 after an edit, of the objects' size", "ratio", share, 1, most=True, digits=2)
