"""Writes written.sql: what the worker of pgai itself makes of setup.sql.

    .venv/bin/python tests/data/pgai/record.py FOLDER

After `make build`. Makes a Python environment with pgai's worker in FOLDER (300 MB), without docling and the providers
that setup.sql does not use.
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
sys.path.insert(0, str(ROOT / "demo"))
from cluster import Failure, bin_folder, clean_environment, cluster, reachable  # noqa: E402
from run import stand_in  # noqa: E402

PACKAGES = [
    "pgai==0.12.1", "openai<2", "ijson", "tiktoken<1", "tokenizers", "pgvector<1", "numpy", "filetype==1.2.0",
    "langchain-text-splitters<1",
]
TABLES = ["note_embedding_store", "note_titles_store", "draft_embedding_store", 'work_queues."Page_chunks"']


def run(*command, **environment):
    command = [str(part) for part in command]
    done = subprocess.run(command, env=clean_environment(**environment), capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def main(folder):
    major = os.environ.get("PG", "15")
    python = folder / "bin" / "python"
    if not python.exists():
        run(sys.executable, "-m", "venv", folder)
        run(python, "-m", "pip", "install", "--quiet", *PACKAGES)
    # The tokenizers come with the package.
    tokenizers = next(folder.glob("lib/python*/site-packages/pgai/vectorizer/tiktoken_cache"))
    with reachable(ROOT / ".setup" / f"postgres-{major}", ROOT / ".setup" / "run") as (tree, place):
        with cluster(bin_folder(tree, major), place, {}, {}) as server, stand_in(place) as provider:
            url = f"postgresql://postgres:{server.password}@127.0.0.1:{server.port}/postgres"
            settings = {
                "OPENAI_API_KEY": provider.key, "OPENAI_BASE_URL": provider.base_url, "DD_TRACE_ENABLED": "false",
                "TIKTOKEN_CACHE_DIR": str(tokenizers),
            }
            run(python, "-m", "pgai", "install", "-d", url, **settings)
            server.psql("-f", HERE / "setup.sql")
            run(python, "-m", "pgai", "vectorizer", "worker", "-d", url, "--once", **settings)
            dumped = run(
                bin_folder(tree, major) / "pg_dump", "-d", url, "--data-only", "--inserts",
                *(part for table in TABLES for part in ("-t", table)))
            words = server.query(
                "SELECT format('UPDATE word SET meaning = %L WHERE word = %L;', meaning::text, word) FROM word ORDER BY word")
    lines = ["-- What the worker of pgai 0.12.1 wrote for setup.sql, by record.py."]
    # No chunk of setup.sql has a line end in it.
    lines += [line for line in dumped.splitlines() if line.startswith("INSERT INTO")]
    lines += [line for (line,) in words]
    (HERE / "written.sql").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except (Failure, IndexError) as failure:
        sys.exit(f"record: {failure}")
