"""`make demo`: documents in S3 become searchable inside Postgres, from nothing, with everything private to the clone.

Runs after tests/support/setup.sh. Starts a Postgres, an S3 (moto) and an embedding provider on free ports, runs demo.sql, shows the
progress, searches with search.sql, and stops everything it started when it ends, however it ends.

    PROVIDER=openai   embeds with OpenAI (needs OPENAI_API_KEY) instead of the stand-in
    DEMO_EXIT=1       ends after the searches instead of staying for more; so does an input that is no terminal
"""

import contextlib
import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from cluster import ROOT, Failure, answers, bin_folder, clean_environment, cluster, free_port, reachable, running, wait_for  # noqa: E402

DEMO = ROOT / "demo"
DOCUMENTS = DEMO / "documents"
BUCKET = "library"
DATABASE = "demo"
MAJOR = os.environ.get("PG", "15")
# Those of demo.sql: a query's vector must come from the same model.
MODEL, DIMENSIONS = "text-embedding-3-small", 768
OPENAI = "https://api.openai.com/v1"
# Longer than any back-off of a first retry; OpenAI may throttle a new account for a minute.
STALLED_AFTER = 90
WIDTH = 110
# Without one, urllib says that a body is a form, and moto takes the bytes apart as one.
CONTENT_TYPES = {".txt": "text/plain; charset=utf-8", ".md": "text/markdown; charset=utf-8", ".pdf": "application/pdf"}


class Steps:
    """What was done, and how long each took."""

    def __init__(self):
        self.done = []

    @contextlib.contextmanager
    def step(self, title):
        print(f"\n--- {title}", flush=True)
        started = time.monotonic()
        yield
        self.add(title, time.monotonic() - started)
        print(f"    {self.done[-1][1]:.1f} s", flush=True)

    def add(self, title, seconds):
        self.done.append((title, seconds))

    def summary(self):
        print("\n=== How long it took")
        for title, seconds in self.done:
            print(f"  {title:64}{seconds:8.1f} s")
        print(f"  {'in all':64}{sum(seconds for _, seconds in self.done):8.1f} s")


class Provider:
    """Where embeddings come from: the base URL of an OpenAI-compatible API and its key."""

    def __init__(self, base_url, key):
        self.base_url, self.key = base_url.rstrip("/"), key


def http(method, url, body=None, headers=None):
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    local = urllib.parse.urlsplit(url).hostname == "127.0.0.1"
    opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if local else []))
    try:
        with opener.open(request, timeout=30) as response:
            return response.read()
    except urllib.error.HTTPError as error:
        raise Failure(f"{method} {url} answered {error.code}: {error.read(300).decode(errors='replace')}") from None
    except OSError as error:
        raise Failure(f"{method} {url} failed: {error}") from None


def documents():
    found = sorted(path for path in DOCUMENTS.iterdir() if path.name != "LICENCES.md")
    in_sql = set(re.findall(rf"'s3://{BUCKET}/([^']+)'", (DEMO / "demo.sql").read_text()))
    if in_sql != {path.name for path in found}:
        raise Failure(f"demo/demo.sql and demo/documents differ: {sorted(in_sql ^ {path.name for path in found})}")
    return found


def questions():
    with (DEMO / "questions.tsv").open(newline="") as lines:
        return [(question, document) for question, document in csv.reader(lines, delimiter="\t")]


@contextlib.contextmanager
def stand_in(folder):
    log = folder / "provider.log"
    log.write_bytes(b"")
    program = target_folder() / "debug" / "provider"
    command = [program, "--port", "0", "--idf-from", DOCUMENTS, "--stop-with-stdin", "--quiet"]
    with running("the provider", command, log, stdin=subprocess.PIPE, env=clean_environment()) as process:
        def line():
            return re.match(r"listening on (http://127\.0\.0\.1:\d+/v1)\s*\n", log.read_text(errors="replace"))

        wait_for("the provider", line, 30, process, log)
        yield Provider(line()[1], "stand-in")


@contextlib.contextmanager
def object_store(folder):
    log = folder / "moto.log"
    log.write_bytes(b"")
    port = free_port()
    command = [ROOT / ".venv" / "bin" / "moto_server", "-H", "127.0.0.1", "-p", port]
    with running("moto", command, log, env=clean_environment()) as process:
        wait_for("moto", lambda: answers(port), 60, process, log)
        yield f"http://127.0.0.1:{port}"


def target_folder():
    metadata = subprocess.run(
        ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"], cwd=ROOT, capture_output=True, text=True
    )
    if metadata.returncode != 0:
        raise Failure(f"cargo metadata failed: {metadata.stderr.strip()}")
    return Path(json.loads(metadata.stdout)["target_directory"])


def embed_everything(server, total):
    """Shows the vectorizer at work until nothing is pending; returns the documents that have no chunks then."""
    counters = """
        SELECT (SELECT coalesce(sum(pending_items), 0) FROM ai.vectorizer_status),
               (SELECT count(*) FROM document_embeddings),
               (SELECT count(DISTINCT uri) FROM document_embeddings)"""
    started = changed = time.monotonic()
    seen, told, shown_errors = None, 0.0, 0
    terminal = sys.stdout.isatty()
    while True:
        now = time.monotonic()
        pending, chunks, done = (int(value) for value in server.query(counters, DATABASE)[0])
        errors = server.query("SELECT to_jsonb(e) FROM ai.vectorizer_errors e ORDER BY recorded", DATABASE)
        if (pending, chunks, len(errors)) != seen:
            seen, changed = (pending, chunks, len(errors)), now
        line = f"    {now - started:5.1f} s   {done:3} of {total} documents searchable, {chunks:6} chunks, {pending:3} waiting"
        for (error,) in errors[shown_errors:]:
            print(f"{chr(10) if terminal else ''}    error: {error}")
        shown_errors = len(errors)
        if terminal:
            print(f"\r{line}", end="", flush=True)
        elif changed == now and now - told >= 1 or pending == 0:
            told = now
            print(line, flush=True)
        if pending == 0:
            break
        if now - changed > STALLED_AFTER:
            print(f"\n    nothing has changed for {STALLED_AFTER} s; this is what the workers say:")
            server.psql("-x", "-c", "SELECT * FROM ai.worker_status", database=DATABASE, capture=False)
            raise Failure("the documents were not embedded; see the log of Postgres, demo/.run/postgres.log")
        time.sleep(0.2)
    if terminal:
        print()
    without = server.query(
        "SELECT uri FROM document d WHERE NOT EXISTS (SELECT FROM document_embeddings e WHERE e.uri = d.uri)", DATABASE
    )
    return [uri for (uri,) in without]


def search(server, question):
    """Prints the best chunks for a question; returns the document of the best."""
    output = server.psql("--csv", "-q", "-v", f"question={question}", "-f", DEMO / "search.sql", database=DATABASE)
    rows = list(csv.DictReader(io.StringIO(output)))
    print(f"\n  {question}")
    for place, row in enumerate(rows, 1):
        print(f"    {place}. {row['uri']}, chunk {row['chunk_seq']}")
        excerpt = textwrap.shorten(" ".join(row["chunk"].split()), 3 * (WIDTH - 7), placeholder=" …")
        print(textwrap.fill(excerpt, WIDTH, initial_indent=" " * 7, subsequent_indent=" " * 7))
    return rows[0]["uri"].removeprefix(f"s3://{BUCKET}/") if rows else None


def play(server):
    """Answers questions until the person at the terminal ends it."""
    print("\nType a question to search for it. Ctrl-C or Ctrl-D ends the demo and stops everything.")
    while True:
        try:
            question = input("\nquestion> ").strip()
        except EOFError:
            print()
            return
        if question:
            try:
                search(server, question)
            except Failure as failure:
                print(f"  {failure}")


def how_to_play_on(server, endpoint):
    uri = f"postgresql://postgres:{server.password}@127.0.0.1:{server.port}/{DATABASE}"
    print(f"""
=== Play on
  psql -h {server.socket_folder} -p {server.port} -U postgres {DATABASE}
  or from another program: {uri}

  SELECT * FROM ai.vectorizer_status;
  SELECT * FROM ai.worker_status;
  UPDATE document SET updated_at = now() WHERE uri = 's3://{BUCKET}/pgvector.md';   -- reads the object again

  A document of your own: curl -T FILE {endpoint}/{BUCKET}/FILE
                          INSERT INTO document VALUES ('s3://{BUCKET}/FILE');""")


def demo():
    started = os.environ.get("DEMO_STARTED", "").replace(",", ".")
    steps = Steps()
    if started:
        steps.add("set-up: packages, Python environment, private Postgres", max(0.0, time.time() - float(started)))
    with_openai = os.environ.get("PROVIDER", "local") == "openai"
    if not with_openai and os.environ.get("PROVIDER", "local") != "local":
        raise Failure(f"PROVIDER is local or openai, not {os.environ['PROVIDER']}")
    if with_openai and not os.environ.get("OPENAI_API_KEY"):
        raise Failure("PROVIDER=openai needs OPENAI_API_KEY in the environment")
    texts = documents()
    tree = ROOT / ".setup" / f"postgres-{MAJOR}"
    staying = sys.stdin.isatty() and not os.environ.get("DEMO_EXIT")

    with steps.step("build the extension (minutes the first time) and install it"):
        if subprocess.run([ROOT / "tests" / "support" / "build.sh"], cwd=ROOT, stdin=subprocess.DEVNULL).returncode != 0:
            raise Failure("the build failed, see above")

    with contextlib.ExitStack() as stack:
        place, folder = stack.enter_context(reachable(tree, DEMO / ".run"))
        with steps.step("start an embedding provider" if not with_openai else "use OpenAI for embeddings"):
            if with_openai:
                provider = Provider(os.environ.get("OPENAI_BASE_URL") or OPENAI, os.environ["OPENAI_API_KEY"])
                print(f"    {provider.base_url}, {MODEL}, {DIMENSIONS} dimensions; the documents cost about one or two cents")
            else:
                provider = stack.enter_context(stand_in(folder))
                print(f"    {provider.base_url}: a STAND-IN of this project, not a language model. It compares words and knows how")
                print("    rare each is; it knows no synonyms and no meaning. For real embeddings: make demo PROVIDER=openai")
        with steps.step("start a local S3 (moto) and put the documents into a bucket"):
            endpoint = stack.enter_context(object_store(folder))
            http("PUT", f"{endpoint}/{BUCKET}")
            for text in texts:
                kind = {"Content-Type": CONTENT_TYPES[text.suffix]}
                http("PUT", f"{endpoint}/{BUCKET}/{urllib.parse.quote(text.name)}", text.read_bytes(), kind)
            size = sum(text.stat().st_size for text in texts)
            print(f"    {endpoint}: {len(texts)} documents, {size / 1e6:.1f} MB, text, Markdown and PDF, in s3://{BUCKET}")
        with steps.step("start a private Postgres with shared_preload_libraries = 'ai'"):
            environment = {
                "AWS_ACCESS_KEY_ID": "demo",
                "AWS_SECRET_ACCESS_KEY": "demo",
                "AWS_REGION": "us-east-1",
                "AWS_ENDPOINT_URL": endpoint,
                "OPENAI_API_KEY": provider.key,
                "OPENAI_BASE_URL": provider.base_url,
            }
            server = stack.enter_context(
                cluster(bin_folder(place, MAJOR), folder, {"shared_preload_libraries": "ai"}, environment)
            )
            server.psql("-q", "-c", f"CREATE DATABASE {DATABASE}")
            print(f"    port {server.port}, data and log in {folder}")
        with steps.step("run demo/demo.sql: the extension, the table, the vectorizer"):
            print()
            sys.stdout.flush()
            server.psql("--echo-queries", "-f", DEMO / "demo.sql", database=DATABASE, capture=False)
        with steps.step("watch Postgres fetch, parse, chunk and embed the documents"):
            without = embed_everything(server, len(texts))
        with steps.step("search in SQL"):
            print("    ai.vectorizer_embed asks the same provider for the vector of the question (demo/search.sql):\n")
            print(textwrap.indent((DEMO / "search.sql").read_text().rstrip(), "    "))
            wrong = []
            for question, expected in questions():
                if search(server, question) != expected:
                    wrong.append(f"'{question}' should have found {expected} first")
            print()
        steps.summary()
        for uri in without:
            print(f"\n{uri} has no chunks: see ai.vectorizer_errors")
        for line in wrong:
            print(f"\n{line}")
        if not with_openai:
            print("\nThe vectors came from the stand-in: they carry words, not meaning. OPENAI_API_KEY=… make demo PROVIDER=openai")
        how_to_play_on(server, endpoint)
        if staying:
            play(server)
        else:
            print("\nNo one is at the terminal: the demo ends here and stops what it started.")
        return 1 if without or wrong else 0


def ended(number, _frame):
    raise SystemExit(128 + number)


if __name__ == "__main__":
    os.umask(0o022)
    sys.stdout.reconfigure(line_buffering=True)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ended)
    try:
        code = demo()
    except Failure as failure:
        print(f"\ndemo: {failure}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        print("\nstopped")
        code = 0 if sys.stdin.isatty() else 130
    sys.exit(code)
