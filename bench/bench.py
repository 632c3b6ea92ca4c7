"""What a case works with: the servers, a fresh database, how often to repeat."""

import contextlib
import time

from cluster import Failure
from session import Session

# A look takes three processes some 200 µs of two processors that have better things to do.
LOOK_EVERY = 0.01
STALLED_AFTER = 120


class Bench:
    def __init__(self, server, provider, objects, repeats, folder, peer=None):
        self.server, self.provider, self.objects = server, provider, objects
        self.repeats, self.folder, self.peer = repeats, folder, peer

    def say(self, text):
        print(f"    {text}", flush=True)

    @contextlib.contextmanager
    def database(self, name, extension="ai"):
        """A new database and a session in it; dropped at the end."""
        self.server.psql("-q", "-c", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", "-c", f"CREATE DATABASE {name}")
        session = Session(self.server, name)
        try:
            if extension:
                session.query(f"CREATE EXTENSION {extension} CASCADE")
            yield session
        finally:
            session.close()
            self.server.psql("-q", "-c", f"DROP DATABASE {name} WITH (FORCE)")

    def checkpoint(self):
        """Both sides of a comparison begin right after one, so that both write as many full pages into the log."""
        self.server.psql("-q", "-c", "CHECKPOINT")


def wait_until_empty(session, queue, at_most=None):
    """Returns the moment at which nothing was left to do, or at which `at_most` seconds were over."""
    began = changed = time.monotonic()
    seen = None
    is_empty = f"NOT EXISTS (SELECT FROM {queue})"
    # What the trigger has written down comes into the queue by and by; pgai has no such table.
    intake = session.value(f"SELECT to_regclass('{queue.replace('_vectorizer_q_', '_vectorizer_intake_')}')")
    if intake and intake != queue:
        is_empty += f" AND NOT EXISTS (SELECT FROM {intake})"
    while True:
        if session.value(f"SELECT {is_empty}") == "t":
            return time.perf_counter()
        time.sleep(LOOK_EVERY)
        now = time.monotonic()
        if at_most and now - began > at_most:
            return time.perf_counter()
        if now - changed > STALLED_AFTER:
            count = session.value(f"SELECT count(*) FROM {queue}")
            if count == seen:
                raise Failure(f"{count} documents wait and nothing has happened for {STALLED_AFTER} s; see the log of Postgres")
            changed, seen = now, count
