"""Case 5: what the triggers cost whoever writes to the source, against no trigger and a plain row-level one."""

import time

from bench import LOOK_EVERY
from figures import Figure

ROWS, SINGLE = 100_000, 5_000
# Of the tax of a plain row-level trigger, for statements that meet many rows.
AIM = 0.15
# What people write by hand: pgai's queue, filled row by row.
PLAIN_TRIGGER = """
    CREATE TABLE by_row_queue (id bigint NOT NULL, queued_at timestamptz NOT NULL DEFAULT now());
    CREATE INDEX ON by_row_queue (id);
    CREATE FUNCTION enqueue() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN INSERT INTO by_row_queue (id) VALUES (NEW.id); RETURN NULL; END$$;
    CREATE TRIGGER enqueue AFTER INSERT OR UPDATE ON by_row FOR EACH ROW EXECUTE FUNCTION enqueue()"""
TABLES = ("untouched", "by_row", "ours")


def prepare(session):
    for table in TABLES:
        session.query(f"CREATE TABLE {table} (id bigint PRIMARY KEY, body text NOT NULL, note text)")
    session.query(PLAIN_TRIGGER)
    session.query("""SELECT ai.create_vectorizer('ours'::regclass, loading => ai.loading_column('body'),
        embedding => ai.embedding_openai('text-embedding-3-small', 1536), scheduling => ai.scheduling_none())""")


def empty(session):
    """All tables and queues as new, so that no run finds the dead rows of the one before."""
    queue, intake = session.query("SELECT queue, intake FROM ai._vectorizer")[0]
    session.query(f"TRUNCATE {', '.join(TABLES)}, by_row_queue; TRUNCATE {queue}, {intake}")


def microseconds(session, sql, rows):
    started = time.perf_counter()
    session.query(sql)
    return 1e6 * (time.perf_counter() - started) / rows


def inserts(characters):
    return f"INSERT INTO {{}} SELECT n, repeat('x', {characters}) FROM generate_series(1, {ROWS}) n"


# A loop in one transaction: no round trips and no flushes, which would cost more than any trigger.
ONE_BY_ONE = f"""DO $$BEGIN FOR n IN 1..{SINGLE} LOOP
    INSERT INTO {{}} VALUES (n, 'some text of a document'); END LOOP; END$$"""
UPDATE_ONE_BY_ONE = f"""DO $$BEGIN FOR n IN 1..{SINGLE} LOOP
    UPDATE {{}} SET body = 'some other text' WHERE id = n; END LOOP; END$$"""
# Each with what has to be there before, the number of rows, and the aim.
STATEMENTS = (
    ("INSERT of 100,000 rows of 60 bytes", None, inserts(60), ROWS, AIM),
    ("INSERT of 100,000 rows of 1.5 kB", None, inserts(1500), ROWS, AIM),
    ("UPDATE of 100,000 rows of 60 bytes", inserts(60), "UPDATE {} SET note = 'new'", ROWS, AIM),
    ("single-row INSERTs", None, ONE_BY_ONE, SINGLE, None),
    ("single-row UPDATEs", ONE_BY_ONE, UPDATE_ONE_BY_ONE, SINGLE, None),
)


def wait_for_quiet(session):
    """Autovacuum has looked at what was written, and the worker has put into the queue what the triggers wrote down."""
    intake = session.value("SELECT intake FROM ai._vectorizer")
    busy = f"""SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'autovacuum worker')
        OR EXISTS (SELECT FROM {intake})"""
    while session.value(busy) != "f":
        time.sleep(LOOK_EVERY)


def run(bench):
    with bench.database("trigger") as session:
        prepare(session)
        for what, before, statement, rows, aim in STATEMENTS:
            times = {table: [] for table in TABLES}
            for _ in range(bench.repeats):
                empty(session)
                for table in TABLES:
                    if before:
                        session.query(before.format(table))
                for table in TABLES:
                    bench.checkpoint()
                    wait_for_quiet(session)
                    times[table].append(microseconds(session, statement.format(table), rows))
            bench.say(f"{what}: " + ", ".join(f"{table} {min(values):.2f}–{max(values):.2f} µs" for table, values in times.items()))
            base = times["untouched"]
            ours = [time - none for time, none in zip(times["ours"], base)]
            plain = [time - none for time, none in zip(times["by_row"], base)]
            yield Figure(5, f"{what}: without a trigger", "µs/row", base, digits=2)
            yield Figure(5, f"{what}: tax of a plain row-level trigger", "µs/row", plain, digits=2)
            yield Figure(5, f"{what}: tax of ours", "µs/row", ours, digits=2)
            share = [mine / theirs for mine, theirs in zip(ours, plain)]
            yield Figure(5, f"{what}: tax of ours, of the plain one's", "ratio", share, aim, most=True, digits=2)
