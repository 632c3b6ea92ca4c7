"""Writes docs/reference.md from the catalogue of a server that has the extension. `make docs` runs it, and `make test`
checks that the file is what it would write."""

import difflib
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from cluster import Failure, bin_folder, cluster, reachable  # noqa: E402

FILE = ROOT / "docs" / "reference.md"
HEAD = """# SQL reference

Written by `make docs` from the comments and signatures in `sql/`: change those, not this file.

Everything is in the schema `ai`. What begins with an underscore is not for use. Names, parameters and defaults are those
of pgai, as far as pgai has them: see [Coming from pgai](coming-from-pgai.md).
"""
# Heading, and the names of the functions below it. What fits nowhere comes under the last one.
FAMILIES = [
    ("Making and dropping vectorizers", r"create_vectorizer|drop_vectorizer"),
    ("Running and watching", r".*_vectorizer_schedule|set_scheduling|(execute|wait_for|verify|retry)_vectorizer|vectorizer_queue_pending"),
    ("Loading", r"loading_.*"),
    ("Parsing", r"parsing_.*"),
    ("Chunking", r"chunking_.*|chunk_.*"),
    ("Formatting", r"formatting_.*"),
    ("Embedding", r"embedding_.*"),
    ("Destinations", r"destination_.*"),
    ("Indexing", r"indexing_.*"),
    ("Scheduling", r"scheduling_.*"),
    ("Processing", r"processing_.*"),
    ("Privileges", r"grant_.*"),
    ("Vectors for queries", r".*_embed"),
    ("Other functions", r".*"),
]
CONTEXTS = {
    "postmaster": "configuration file; restart",
    "sighup": "configuration file; reload",
    "superuser": "superuser",
    "user": "anybody",
}
# What the functions raise: name in the sources, SQLSTATE, what it says.
CODES = {
    "TRIGGERED_ACTION_EXCEPTION": ("09000", "A trigger or a rule of an owner swallows what is to be written to a queue or an intake."),
    "WARNING": ("01000", "A warning: a dump was restored without its catalogue, and rows that are written are not embedded."),
    "INVALID_PARAMETER_VALUE": ("22023", "An argument or a configuration makes no sense, by a check that pgai does not have."),
    "RAISE_EXCEPTION": ("P0001", "An argument or a configuration makes no sense, by a check of pgai."),
    "ACTIVE_SQL_TRANSACTION": ("25001", "`ai.wait_for_vectorizer` is called in the transaction that has written what is waited for: commit first."),
    "LOCK_NOT_AVAILABLE": ("55P03", "The name that was chosen for a vectorizer is being taken, or given back, by a transaction that is still open."),
    "INVALID_CURSOR_STATE": ("24000", "Code that ran meanwhile has closed or exchanged a cursor of `ai.verify_vectorizer`."),
    "SEQUENCE_GENERATOR_LIMIT_EXCEEDED": ("2200H", "No id of a vectorizer is free near the last one."),
    "INVALID_NAME": ("42602", "A column that a template uses was renamed to what a template cannot name."),
    "CHECK_VIOLATION": ("23514", "The name of a vectorizer has letters that names of vectorizers do not have."),
    "INSUFFICIENT_PRIVILEGE": ("42501", "The table of another role, or a choice that is for superusers."),
    "UNDEFINED_OBJECT": ("42704", "There is no such vectorizer, role or type."),
    "UNDEFINED_TABLE": ("42P01", "A table that the vectorizer needs is gone."),
    "OUT_OF_MEMORY": ("53200", "There is no memory for what a statement makes: it fails, and the session goes on."),
    "INVALID_TABLE_DEFINITION": ("42P16", "A queue or a destination was to be in a temporary schema, or in one of Postgres' own."),
    "SUCCESSFUL_COMPLETION": ("00000", "No error: a notice."),
    "WRONG_OBJECT_TYPE": ("42809", "A foreign server is of another wrapper or type than is needed."),
    "DEPENDENT_OBJECTS_STILL_EXIST": ("2BP01", "A foreign server that is to be dropped is used by a vectorizer."),
    "FDW_INVALID_OPTION_NAME": ("HV00D", "A foreign server, or a user mapping, has no such option."),
    "FDW_INVALID_ATTRIBUTE_VALUE": ("HV024", "The value of an option makes no sense, or is a credential."),
    "DUPLICATE_OBJECT": ("42710", "The name is taken: of a vectorizer, a queue, a table or a view."),
    "DUPLICATE_COLUMN": ("42701", "The source has a column that the destination needs for itself."),
    "DATATYPE_MISMATCH": ("42804", "A column that is there already does not fit the vectors."),
    "FEATURE_NOT_SUPPORTED": ("0A000", "A kind of table, or a situation, that vectorizers cannot work with."),
    "OBJECT_NOT_IN_PREREQUISITE_STATE": (
        "55000", "A provider refuses the key or the model; a view of the extension was written to; the intake of a vectorizer was altered by a transaction that has written to its source; as a warning: the library is not in `shared_preload_libraries`."),
    "OBJECT_IN_USE": ("55006", "`CREATE EXTENSION`: a transaction that is still open makes something in the schema `ai`."),
    "NULL_VALUE_NOT_ALLOWED": ("22004", "An argument that is needed is NULL."),
    "PROGRAM_LIMIT_EXCEEDED": ("54000", "A vector is longer than pgvector allows; or a text, or a configuration, is above a limit."),
    "CONNECTION_EXCEPTION": ("08000", "A provider cannot be reached, or is out of order. Try again."),
    "CONFIGURATION_LIMIT_EXCEEDED": ("53400", "A provider has had too many requests. Try again later."),
    "E_R_I_E_TRIGGER_PROTOCOL_VIOLATED": ("39P01", "`ai._append_change` was made the function of a trigger of another kind."),
    "EXTERNAL_ROUTINE_EXCEPTION": ("38000", "The answer of a provider makes no sense."),
    "INSUFFICIENT_RESOURCES": ("53000", "No thread for the network could be started."),
}
# What the sources name because others raise it.
FOREIGN_CODES = {"ADMIN_SHUTDOWN", "CRASH_SHUTDOWN", "QUERY_CANCELED", "T_R_DEADLOCK_DETECTED", "T_R_SERIALIZATION_FAILURE", "UNIQUE_VIOLATION"}


def condition(name):
    """Its name in PL/pgSQL; the sources write a class before some."""
    return name.lower().removeprefix("e_r_i_e_")


def codes():
    """The table of SQLSTATEs, and a complaint where it and the sources disagree."""
    raised = set()
    sources = [path for path in sorted((ROOT / "src").rglob("*.rs")) if "worker" not in path.relative_to(ROOT).as_posix()]
    for path in [*sources, *sorted((ROOT / "sql").glob("*.sql"))]:
        text = path.read_text()
        raised |= set(re.findall(r"ERRCODE_([A-Z_]+)", text))
        raised |= {name.upper() for name in re.findall(r"ERRCODE = '(\w+)'", text)}
    raised -= FOREIGN_CODES
    if raised != set(CODES):
        missing, gone = sorted(raised - set(CODES)), sorted(set(CODES) - raised)
        raise Failure(f"CODES of docs/reference.py lacks {missing} and has {gone} in vain")
    rows = "".join(f"| `{state}` | `{condition(name)}` | {text} |\n" for name, (state, text) in sorted(CODES.items(), key=lambda row: row[1]))
    return f"## SQLSTATEs\n\n| code | condition | when |\n|---|---|---|\n{rows}"


def cell(text):
    return " ".join(text.split()).replace("|", "\\|")


def lines_as_escapes(text):
    """Literals with line ends in them, as they are written in SQL."""
    return re.sub(r"'([^']*\n[^']*)'", lambda found: "E'" + found[1].replace("\n", "\\n") + "'", text)


def signature(name, arguments, result):
    parts, depth, quoted = [""], 0, False
    for character in lines_as_escapes(arguments):
        quoted ^= character == "'"
        depth += 0 if quoted else (character in "([") - (character in ")]")
        if character == "," and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    parts = [part.strip() for part in parts if part.strip()]
    line = f"ai.{name}({', '.join(parts)}) → {result}"
    if len(line) > 110:
        line = f"ai.{name}(\n    " + ",\n    ".join(parts) + f"\n) → {result}"
    return line


def functions(server):
    rows = server.query("""
        SELECT p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), p.prokind,
               coalesce(obj_description(p.oid, 'pg_proc'), '')
        FROM pg_proc p WHERE p.pronamespace = 'ai'::regnamespace AND p.proname !~ '^_'
        ORDER BY p.proname, pg_get_function_arguments(p.oid) COLLATE "C" """)
    families = [(title, {}) for title, _ in FAMILIES]
    for name, arguments, result, _, comment in rows:
        if not comment:
            raise Failure(f"the function ai.{name} has no comment")
        at = next(number for number, (_, names) in enumerate(FAMILIES) if re.fullmatch(names, name))
        families[at][1].setdefault(name, []).append((signature(name, arguments, result), comment))
    text = ""
    for title, members in families:
        text += f"## {title}\n\n" if members else ""
        for name, overloads in members.items():
            text += f"### `ai.{name}`\n\n"
            for comment in dict.fromkeys(comment for _, comment in overloads):
                signatures = "\n".join(line for line, of in overloads if of == comment)
                text += f"```\n{signatures}\n```\n\n{comment}\n\n"
    return text


def views(server):
    text = "## Views\n\n"
    for name, comment in server.query("""
            SELECT c.relname, coalesce(obj_description(c.oid, 'pg_class'), '') FROM pg_class c
            WHERE c.relnamespace = 'ai'::regnamespace AND c.relkind = 'v' AND c.relname !~ '^_' ORDER BY 1"""):
        columns = server.query(f"""
            SELECT attname, format_type(atttypid, atttypmod), coalesce(col_description(attrelid, attnum), '')
            FROM pg_attribute WHERE attrelid = 'ai.{name}'::regclass AND attnum > 0 ORDER BY attnum""")
        text += f"### `ai.{name}`\n\n{comment}\n\n| column | type |\n|---|---|\n"
        text += "".join(f"| `{column}` | {kind} | {cell(said)} |\n".replace(" |  |", " |") for column, kind, said in columns) + "\n"
    return text


def settings(server):
    text = "## Settings\n\n| setting | default | least, greatest | set in | |\n|---|---|---|---|---|\n"
    for name, default, unit, least, greatest, context, said in server.query("""
            SELECT name, coalesce(boot_val, ''), coalesce(unit, ''), coalesce(min_val, ''), coalesce(max_val, ''), context,
                   concat_ws(' ', short_desc, extra_desc)
            FROM pg_settings WHERE name LIKE 'ai.%' ORDER BY name"""):
        bounds = f"{least}, {greatest}" if least else ""
        value = f"`{default}{' ' + unit if unit else ''}`" if default else "empty"
        text += f"| `{name}` | {value} | {bounds} | {CONTEXTS.get(context, context)} | {cell(said)} |\n"
    return text + "\n"


def render(server):
    server.psql("-q", "-c", "CREATE EXTENSION ai CASCADE")
    return "\n".join([HEAD, functions(server) + views(server) + settings(server) + codes()])


def difference(server):
    """How the file differs from what it should be; empty when it does not."""
    old = FILE.read_text() if FILE.exists() else ""
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), render(server).splitlines(keepends=True), "docs/reference.md", "the catalogue")
    return "".join(lines)


def main():
    major = os.environ.get("PG", "15")
    with reachable(ROOT / ".setup" / f"postgres-{major}", ROOT / ".setup" / "run") as (tree, folder):
        with cluster(bin_folder(tree, major), folder, {"shared_preload_libraries": "ai"}, {}) as server:
            FILE.write_text(render(server))


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"reference: {failure}")
