"""Writes pipeline/tests/data/python_values.json: what pgai itself makes of a column of each type in a template.

    .venv/bin/python tests/data/pgai/values.py FOLDER

After `make build`. Uses the Python environment of record.py in FOLDER, and makes it where it is not there: psycopg with the
registrations of pgai's worker reads a row, and pgai's formatter puts its columns into a template. A line is the type, that
below its domains, a value in SQL, Postgres' text of that, and what was made of it; null where pgai fails.
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from record import PACKAGES, ROOT, Failure, bin_folder, clean_environment, cluster, os, reachable, run  # noqa: E402

def long_vector(length):
    """Numbers of different lengths and signs, without a generator of random ones."""
    return "[" + ",".join(str((number * 7919 % 2003 - 1000) / 1000) for number in range(length)) + "]"


# Type, then values as they would be written in quotes; `None` is NULL.
VALUES = [
    ("boolean", "t", "f", None),
    ("smallint", "-7"), ("integer", "0", None), ("bigint", "9223372036854775807"),
    ("real", "1", "0.1", "1e20", "NaN", "-Infinity", "3.4028235e38", "1e-45", "16777216"),
    ("double precision", "1", "1.5", "1e16", "1e15", "123456789012345680", "0.0001", "0.00001", "-0", "1e-7", "1e300", "5e-324",
     "850295978874678.2", "NaN", "Infinity", "-Infinity"),
    ("numeric", "1.50", "100", "0", "0.00", "1e-7", "0.0000010", "-0.00000012", "1e30", "12345678901234567890.123456789", "NaN",
     "Infinity", "-Infinity"),
    ("numeric(10,2)", "1.5", "0"), ("numeric(3,-2)", "1234"),
    ("money", "1234.5", "-1"),
    ("text", "", "it's", 'a "b"', "null", "{a}", "a\nb\t\\"), ("character varying(10)", "abc"), ("character(5)", "ab"),
    ("bpchar", "ab  "), ('"char"', "x", ""), ("name", "a name"), ("citext", "ABC"), ("xml", "<a>b</a>"),
    ("bytea", r"\x", r"\x616263", r"\x00ff275c0a", r"\x2722", "\\x27"),
    ("bit(4)", "1010"), ("bit varying", "101", ""),
    ("date", "2024-01-06", "0001-01-01", "9999-12-31", "infinity", "0044-03-15 BC", "10000-01-01"),
    ("time", "01:02:03", "01:02:03.5", "23:59:59.999999", "00:00", "24:00"),
    ("time with time zone", "01:02:03+00", "01:02:03.25-07", "01:02+05:30", "01:02:03+05:30:15", "01:02:03-00:00:30"),
    ("timestamp", "2024-01-06 00:00", "2024-01-06 12:34:56.7", "0001-01-01", "9999-12-31 23:59:59.999999", "infinity",
     "0044-03-15 BC", "10000-01-01"),
    ("timestamp with time zone", "2024-01-06 00:00+00", "2024-07-06 12:34:56.123456+02", "0001-01-01+00", "-infinity",
     "10000-01-01+00"),
    ("timestamp(0) with time zone", "2024-01-06 00:00:00.6+00"),
    ("interval", "0", "1 day", "2 days", "-1 day", "1 day 02:03:04", "-01:00", "1 year 2 mons 3 days 04:05:06.789", "-1 mon 1 day",
     "1 mon -1 day", "00:00:00.000001", "-00:00:00.5", "100000000 years", "1000 hours"),
    ("interval day to second", "1 day 1.5"),
    ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("json", '{"b": 1, "a": [1.0, 2.5, null, true, false], "aa": {"x": "it\'s"}}', '{"a": 1, "b": 2, "a": 3}',
     '{"a": {"z": 1, "z": 2}, "b": {"y": [1], "y": []}, "a": {"x": 1, "w": 2, "x": 3}}',
     "[]", "{}", ' [ 1 , {"k" : "v"} ] ', '"text"', '"it\'s \\"q\\""', "1", "-0", "-0.0", "1.0", "1e2", "1E400", "-1e400", "true",
     "null", "12345678901234567890123", '"\\u00e9\\ud83d\\ude00\\n\\/\\b\\f"', '["\\u00e9\\ud83d\\ude00\\n\\/\\u200b\\u0000"]',
     '["\\ud800", "\\udc00x"]', '{"": 0, "\\u0061": 1, "a": 2}', "[[],[[]],{}]", '[0.1, 1e16, 1e15, 123456789.123456789, 5e-324]'),
    ("jsonb", '{"b": 1, "a": [1.0, 2.5, null, true], "aa": {"x": "it\'s"}}', '{"a": 1, "b": 2, "a": 3}', "[]", "{}", '"text"', "1",
     "1.0", "1e20", "1.50", "true", "null", '[{"k": "v"}]', '{"ä": 0, "zz": 1, "éé": 2, "": 3}', "12345678901234567890123", None),
    ("jsonpath", "$.a[*]"),
    ("inet", "10.0.0.1", "10.0.0.1/8", "::1", "2001:db8::1/64", "2001:0:0:1::1", "2001:db8:0:1:1:1:1:1", "::ffff:1.2.3.4", "::1.2.3.4",
     "::", "1::", "fe80::1:0:0:1"),
    ("cidr", "10.0.0.0/8", "10.0.0.1/32", "2001:db8::/32", "::ffff:1.2.3.0/120", "::/0"),
    ("macaddr", "08:00:2b:01:02:03"), ("macaddr8", "08:00:2b:01:02:03:04:05"),
    ("point", "(1,2.5)"), ("line", "{1,2,3}"), ("lseg", "[(0,0),(1,1)]"), ("box", "(1,1),(0,0)"), ("path", "((0,0),(1,1))"),
    ("polygon", "((0,0),(1,1),(1,0))"), ("circle", "<(0,0),1>"),
    ("tsvector", "fat:2 cat:3"), ("tsquery", "fat & cat"),
    ("oid", "42"), ("regclass", "pg_class"), ("regtype", "integer"), ("regproc", "now"), ("regprocedure", "abs(integer)"),
    ("regrole", "postgres"), ("regnamespace", "public"), ("regconfig", "english"), ("regdictionary", "simple"),
    ("regoper", "||/"), ("regoperator", "+(integer,integer)"), ("regcollation", '"C"'),
    ("xid", "7"), ("xid8", "7"), ("cid", "7"), ("tid", "(1,2)"), ("pg_lsn", "16/B374D848"), ("txid_snapshot", "10:20:10,14"),
    ("pg_snapshot", "10:20:10,14"), ("int2vector", "1 2"), ("oidvector", "1 2"), ("refcursor", "cursor"),
    ("aclitem", "postgres=r/postgres"),
    ("int4range", "[1,5)", "empty", "(,)", "[1,)", "(,5]"), ("int8range", "[1,9223372036854775806]"),
    ("numrange", "[1.50,2.5]", "(0.0000001,)", "[NaN,NaN]"), ("daterange", "[2024-01-01,2024-02-01)", "[2024-01-01,infinity)"),
    ("tsrange", "[2024-01-01 00:00,2024-01-01 12:30:00.5]", "(,2024-01-01]"),
    ("tstzrange", "[2024-01-01 00:00+00,2024-01-01 12:30+02)"),
    ("int4multirange", "{}", "{[1,5),[7,9)}"), ("int8multirange", "{[1,2]}"), ("nummultirange", "{[1.5,2.5],(3,)}"),
    ("datemultirange", "{[2024-01-01,2024-02-01)}"), ("tsmultirange", "{[2024-01-01 00:00,2024-01-02 00:00)}"),
    ("tstzmultirange", "{[2024-01-01 00:00+00,2024-01-02 00:00+00),(2025-01-01 00:00+00,)}"),
    ("floatrange", "[1,2)"), ("floatmultirange", "{[1,2)}"),
    ("mood", "sad", "it's \"fine\""), ("pair", "(1,a)", '(,"it\'s ""b""")', None), ("other", "(1)"),
    ("hstore", "a=>1, b=>NULL"), ("positive", "7"), ("price", "1.5"), ("cheap", "0.0000001", "2"), ("tags", "{a,NULL}"),
    ("document", '{"a": [1]}'), ("vector", "[1,2.5,-0.25]", "[0.1,0.2]", "[100000000,1]", "[0.00001,0.5]", "[1e-10,1]", "[0,0]",
     long_vector(40), long_vector(1500), "[0.12345679,-12.3456789,3]", "[0.00012345678,0.001]"),
    ("halfvec", "[1,2.5,-0.25]", "[0.1,65504]", "[0,6e-8]"), ("sparsevec", "{1:1,3:-0.1}/5", "{}/3"),
    # Arrays of each.
    ("boolean[]", "{t,f,NULL}"), ("smallint[]", "{1}"), ("integer[]", "{1,2,NULL}", "{}", "{{1,2},{3,4}}", "[2:3]={1,2}", "{{{1}}}", None),
    ("bigint[]", "{1}"), ("real[]", "{1,0.1}"), ("double precision[]", "{1,NaN,Infinity,1e16}"),
    ("numeric[]", "{1.5,2}", "{1e-7,NaN,NULL}"), ("numeric(10,2)[]", "{1.5,2}"), ("money[]", "{1234.5,1}"),
    ("text[]", '{a,"it\'s",NULL,"NULL",""}', r'{"a\"b","\\","{x,y}"}', "{ä,\u200b}", '{"it\'s \\"q\\""}', "{{a,b},{c,d}}", "{null}"),
    ("character varying(10)[]", "{x}"), ("character(3)[]", "{x}"), ('"char"[]', "{x}"), ("name[]", "{x}"), ("citext[]", "{A,b}"),
    ("xml[]", "{<a/>}"), ("bytea[]", r'{"\\x616263",NULL}'), ("bit(2)[]", "{10}"), ("bit varying[]", "{101}"),
    ("date[]", "{2024-01-06,NULL}"), ("time[]", "{01:02,01:02:03,01:02:03.5}"),
    ("time with time zone[]", "{01:02:03+00,01:02-07,01:02+05:30:15}"),
    ("timestamp[]", "{2024-01-06 00:00,2024-01-06 12:34:56,2024-01-06 12:34:56.7,2024-01-06 00:00:00.5}"),
    ("timestamp with time zone[]", "{2024-01-01 00:00+00,2024-01-01 12:00:01+02,NULL}", "{infinity}"),
    ("interval[]", "{0,1 day,-1 day,1 day 02:03:04.5,-00:00:00.5}"), ("uuid[]", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"),
    ("json[]", r'{"{\"b\": 1, \"a\": 2}","\"x\"",NULL,"null"}'), ("jsonb[]", r'{"{\"b\": 1, \"a\": 2}","\"x\"",NULL}'),
    ("jsonpath[]", '{$.a}'), ("inet[]", "{10.0.0.1,10.0.0.1/8,::1,2001:db8::1/64}"), ("cidr[]", "{10.0.0.0/8,2001:db8::/32}"),
    ("macaddr[]", "{08:00:2b:01:02:03}"), ("macaddr8[]", "{08:00:2b:01:02:03:04:05}"),
    ("point[]", '{"(1,2)"}'), ("line[]", '{"{1,2,3}"}'), ("lseg[]", '{"[(0,0),(1,1)]"}'), ("box[]", "{(1,1),(0,0);(2,2),(0,0)}"),
    ("path[]", '{"((0,0),(1,1))"}'), ("polygon[]", '{"((0,0),(1,1),(1,0))"}'), ("circle[]", '{"<(0,0),1>"}'),
    ("tsvector[]", '{"fat:2 cat:3"}'), ("tsquery[]", '{"fat & cat"}'), ("oid[]", "{42}"), ("regclass[]", "{pg_class}"),
    ("regtype[]", "{integer}"), ("xid[]", "{7}"), ("xid8[]", "{7}"), ("tid[]", '{"(1,2)"}'), ("pg_lsn[]", "{16/B374D848}"),
    ("txid_snapshot[]", '{"10:20:10,14"}'), ("pg_snapshot[]", '{"10:20:10,14"}'), ("int2vector[]", '{"1 2"}'), ("refcursor[]", "{c}"),
    ("int4range[]", '{"[1,5)",empty,"(,)",NULL}'), ("int8range[]", '{"[1,5)"}'), ("numrange[]", '{"[1.50,2.5]"}'),
    ("daterange[]", '{"[2024-01-01,2024-02-01)"}'), ("tsrange[]", '{"[2024-01-01 00:00,2024-01-02 00:00)"}'),
    ("tstzrange[]", '{"[2024-01-01 00:00+00,2024-01-02 00:00+00)"}'), ("int4multirange[]", '{"{[1,5),[7,9)}","{}"}'),
    ("tstzmultirange[]", '{"{[2024-01-01 00:00+00,2024-01-02 00:00+00)}"}'), ("floatrange[]", '{"[1,2)"}'),
    ("mood[]", "{sad,NULL}"), ("pair[]", '{"(1,a)"}'), ("other[]", "{(1)}"), ("hstore[]", r'{"\"a\"=>\"1\""}'), ("positive[]", "{7}"),
    ("price[]", "{1.5}"), ("halfvec[]", '{"[1,2]",NULL}'), ("sparsevec[]", '{"{1:1}/2"}'),
    ("vector[]", '{"[1,2]"}', '{"[0.125,-2.5]",NULL}'),
]

# As src/postgres/types.rs names them.
BASES = """
SELECT (WITH RECURSIVE base AS (
            SELECT a.atttypid AS oid
            UNION ALL
            SELECT t.typbasetype FROM base b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype = 'd'
        ) SELECT format_type(b.oid, NULL) FROM base b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype <> 'd')
FROM pg_attribute a WHERE a.attrelid = 'everything'::regclass AND a.attnum > 0 ORDER BY a.attnum
"""

# Runs in the environment of pgai. What the worker does: cursor, registrations and formatter are its own.
READER = """
import asyncio, json, sys
import psycopg
from pgvector.psycopg import register_vector_async
from psycopg.rows import dict_row
from pgai.vectorizer.formatting import PythonTemplate

async def main(url):
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await register_vector_async(connection)
        found = []
        for number in range(json.loads(sys.stdin.readline())):
            async with connection.cursor(row_factory=dict_row) as cursor:
                try:
                    await cursor.execute(f'SELECT c{number} AS value FROM everything')
                    item = (await cursor.fetchall())[0]
                    template = PythonTemplate(implementation="python_template", template="$value")
                    found.append(template.format("", item))
                    found[-1].encode()
                except (psycopg.Error, ValueError, OverflowError, RecursionError) as error:
                    found[number:] = [None]
        json.dump(found, sys.stdout)

asyncio.run(main(sys.argv[1]))
"""


def literal(value):
    return "NULL" if value is None else "E'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t") + "'"


def main(folder):
    major = os.environ.get("PG", "15")
    python = folder / "bin" / "python"
    if not python.exists():
        run(sys.executable, "-m", "venv", folder)
        run(python, "-m", "pip", "install", "--quiet", *PACKAGES)
    columns = [(kind, value) for kind, *values in VALUES for value in values]
    with reachable(ROOT / ".setup" / f"postgres-{major}", ROOT / ".setup" / "run") as (tree, place):
        settings = {"timezone": "UTC"}
        with cluster(bin_folder(tree, major), place, settings, {}) as server:
            server.psql("-f", HERE / "values.sql")
            # A table takes no more than 1,600 columns; a type for each is what psycopg asks for.
            definitions = ", ".join(f"c{number} {kind}" for number, (kind, _) in enumerate(columns))
            values = ", ".join(literal(value) for _, value in columns)
            (place / "values.sql").write_text(f"CREATE TABLE everything ({definitions}); INSERT INTO everything VALUES ({values});")
            server.psql("-f", place / "values.sql")
            url = f"postgresql://postgres:{server.password}@127.0.0.1:{server.port}/postgres"
            read = subprocess.run(
                [python, "-c", READER, url], input=f"{len(columns)}\n", env=clean_environment(DD_TRACE_ENABLED="false"),
                capture_output=True, text=True)
            if read.returncode != 0:
                raise Failure(read.stderr)
            found = json.loads(read.stdout)
            (place / "texts.sql").write_text("SELECT jsonb_build_array(v.kind, v.text) FROM everything e CROSS JOIN LATERAL (VALUES " + ", ".join(
                f"({number}, {literal(kind)}, CASE WHEN e.c{number} IS DISTINCT FROM NULL THEN format('%s', e.c{number}) END)"
                for number, (kind, _) in enumerate(columns)) + ") AS v (number, kind, text) ORDER BY v.number;")
            bases = [base for base, in server.query(BASES)]
            texts = [json.loads(line)[1] for line in server.psql("-A", "-t", "-q", "-f", place / "texts.sql").splitlines()]
    lines = [
        json.dumps({"type": kind, "base": base, "sql": literal(value), "text": text, "python": shown}, ensure_ascii=False)
        for (kind, value), base, text, shown in zip(columns, bases, texts, found, strict=True)]
    (ROOT / "pipeline" / "tests" / "data" / "python_values.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except (Failure, IndexError) as failure:
        sys.exit(f"values: {failure}")
