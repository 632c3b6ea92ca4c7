"""pgai 0.12.1, what users would pick instead, on cases 1 to 4: the same servers, the same documents, the same SQL.

Its worker runs all the time and looks for work every second: the five minutes of its default would be all that there is to
measure. The clock starts with its first request, so that neither its start nor its naps are counted against it.
"""

import contextlib
import signal
import subprocess
import sys
import time

import changes
import freshness
import s3_objects
import text_rows
from bench import wait_until_empty
from cluster import ROOT, Failure, clean_environment, running
from figures import Figure
from servers import arrived, wait_for_request

REQUIREMENT = "pgai[vectorizer-worker]==0.12.1"
# Several gigabytes: its parser of documents brings PyTorch along. So it has an environment of its own.
VENV = ROOT / ".setup" / "pgai"
# It is steady, and slow.
MOST_REPEATS, FRESHNESS_SAMPLES = 3, 20


def setup():
    """Installs pgai where it is missing."""
    stamp = VENV / "stamp"
    if stamp.exists() and stamp.read_text() == f"{VENV} {REQUIREMENT}":
        return
    print(f"bench: installing {REQUIREMENT} into .setup/pgai (7 GB, minutes)", flush=True)
    python = str(VENV / "bin" / "python")
    make = [[sys.executable, "-m", "venv", str(VENV)],
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", REQUIREMENT]]
    for command in make:
        if subprocess.run(command, stdin=subprocess.DEVNULL).returncode != 0:
            raise Failure("pgai could not be installed, see above")
    stamp.write_text(f"{VENV} {REQUIREMENT}")


def program_environment(bench):
    caches = list(VENV.glob("lib/python*/site-packages/pgai/vectorizer/tiktoken_cache"))
    return clean_environment(
        AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench", AWS_REGION="us-east-1", AWS_DEFAULT_REGION="us-east-1",
        AWS_ENDPOINT_URL=bench.objects.address, OPENAI_API_KEY="bench", OPENAI_BASE_URL=bench.provider.base_url,
        # It counts tokens with a vocabulary that it would download; its wheel has it.
        TIKTOKEN_CACHE_DIR=str(caches[0]),
    )


@contextlib.contextmanager
def database(bench, name):
    """A database with pgai in it, and its worker at work there."""
    with bench.database(name, extension=None) as session:
        session.query("CREATE EXTENSION vector")
        program, environment = VENV / "bin" / "pgai", program_environment(bench)
        url = f"postgresql://postgres@/{name}?host={bench.server.socket_folder}&port={bench.server.port}"
        done = subprocess.run([program, "install", "-d", url], env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failure(f"pgai install failed: {done.stderr.strip()[-500:]}")
        log = bench.folder / "pgai.log"
        log.write_bytes(b"")
        command = [program, "vectorizer", "worker", "-d", url, "--poll-interval", "1s", "--log-level", "ERROR"]
        # It does not heed SIGTERM while it works.
        with running("pgai", command, log, signal.SIGKILL, env=environment):
            yield session


def embed(bench, session, statement):
    """Seconds from the worker's first request until its queue is empty."""
    servers = (bench.provider, bench.objects)
    before = [arrived(server) for server in servers]
    identity = session.value(statement)
    started = wait_for_request(servers, before)
    return wait_until_empty(session, f"ai._vectorizer_q_{identity}") - started


def drop(session):
    session.query("SELECT ai.drop_vectorizer('bench', drop_all => true)")


def text(bench):
    with database(bench, "pgai_text_rows") as session:
        text_rows.fill(session)
        for latency in text_rows.LATENCIES:
            bench.provider.latency(latency)
            rates = []
            for _ in range(times(bench)):
                bench.checkpoint()
                seconds = embed(bench, session, text_rows.vectorizer())
                rates.append(session.number("SELECT count(*) FROM document_embeddings_store") / seconds)
                drop(session)
            yield f"text rows at {latency} ms of provider latency", "chunks/s", rates, 6
    bench.provider.latency(0)


def objects(bench):
    with database(bench, "pgai_s3_objects") as session:
        s3_objects.fill(bench, session)
        for latency in (0, 50):
            bench.provider.latency(latency)
            rates = []
            for _ in range(times(bench)):
                bench.checkpoint()
                rates.append(s3_objects.OBJECTS / embed(bench, session, s3_objects.vectorizer()))
                s3_objects.complete(session, s3_objects.OBJECTS)
                drop(session)
            yield f"S3 documents, S3 0 ms, provider {latency} ms", "documents/s", rates, 20
    bench.provider.latency(0)


def touched(bench):
    with database(bench, "pgai_changes") as session:
        s3_objects.fill(bench, session)
        embed(bench, session, s3_objects.vectorizer())
        queue = session.value("SELECT format('%I.%I', queue_schema, queue_table) FROM ai.vectorizer")
        touch = changes.Round(bench, session, queue)
        yield "documents after a touch of all rows", "documents/s", [s3_objects.OBJECTS / touch.seconds], None
        yield "provider inputs after a touch", "inputs", [touch.inputs], None


def fresh(bench):
    with database(bench, "pgai_freshness") as session:
        session.query("CREATE TABLE document (id bigint PRIMARY KEY, body text NOT NULL)")
        session.query(text_rows.vectorizer())
        freshness.insert_and_see(session, 0)
        values = [freshness.insert_and_see(session, number) for number in range(1, FRESHNESS_SAMPLES + 1)]
        where = "worker there, provider 0 ms"
        what = f"commit to visible embedding above the provider's time, p50, {where}"
        yield what, "ms", [freshness.percentile(values, 50)], None


def times(bench):
    return min(bench.repeats, MOST_REPEATS)


CASES = {1: text, 2: objects, 3: touched, 4: fresh}


def run(number, bench, ours):
    """The figures of pgai, each with what ours is of it (or it of ours, where less is better)."""
    started = time.monotonic()
    for what, unit, values, aim in CASES[number](bench):
        bench.say(f"pgai, {what}: {', '.join(f'{value:,.1f}' for value in values)} {unit}")
        yield Figure(number, f"pgai: {what}", unit, values, digits=1)
        own = next(figure for figure in ours if figure.what == what)
        if own.median and unit.endswith("/s"):
            yield Figure(number, f"ours, of pgai's: {what}", "ratio", [own.median / value for value in values], aim, digits=1)
        elif own.median:
            yield Figure(number, f"pgai's, of ours: {what}", "ratio", [value / own.median for value in values], digits=1)
    bench.say(f"pgai took {time.monotonic() - started:.0f} s")
