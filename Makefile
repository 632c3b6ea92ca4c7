# Every target that needs something installs it first (`make setup`), inside the clone but for Debian's packages.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup build demo test check bench fmt lint installcheck docs install clean soak fuzz

# The major version of Postgres for build, demo and test: 15, or another that is in /usr/lib/postgresql.
export PG ?= 15
# `local` (a stand-in of the project's own) or `openai` (needs OPENAI_API_KEY).
export PROVIDER ?= local
# How long `make soak` goes on, and each property in `make fuzz`.
export MINUTES ?= 60
# The Postgres that `make install` installs into.
PG_CONFIG ?= pg_config

python := .venv/bin/python
export PYTHONDONTWRITEBYTECODE := 1

help: ## Show this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: ## Show the whole: documents in S3 become searchable (PROVIDER=openai: with OpenAI instead of the stand-in)
	@DEMO_STARTED=$$EPOCHREALTIME; export DEMO_STARTED; tests/support/setup.sh && exec $(python) demo/run.py

test: setup ## Run everything that is checked: format, lints, tests, pg_regress
	@exec $(python) tests/support/check.py

check: setup ## Run some of it: make check ONLY="lints pipeline" (names: those of its summary, pipeline, integration)
	@exec $(python) tests/support/check.py $(ONLY)

installcheck: setup ## Run the SQL tests of pg_test with pg_regress
	@exec $(python) tests/support/check.py installcheck

bench: setup ## Measure an optimised build, write bench/RESULTS.md: make bench CASE="1 3" (REPEATS=3, PEER=pgai)
	@exec $(python) bench/run.py

soak: setup ## Run storms of faults at full load and a shortage of memory, and see that memory and queues stay flat: make soak MINUTES=60 (SEED=7)
	@exec $(python) tests/support/check.py soak

fuzz: setup ## Try properties of the pipeline with random cases, then random configurations on a server: make fuzz MINUTES=60 CONFIGURATIONS=10000 (SEED=7)
	@exec $(python) tests/support/check.py fuzz

docs: build ## Write docs/reference.md from the catalogue
	@exec $(python) docs/reference.py

fmt: ## Format the Rust code
	@cargo fmt --all

lint: setup ## Check the format and run clippy
	@exec $(python) tests/support/check.py format wall lints

build: setup ## Build for the demo and the tests, into a private Postgres in .setup
	@tests/support/build.sh

install: ## Build a release and install it: make install PG_CONFIG=/path/to/pg_config
	@tests/support/build.sh --release $(PG_CONFIG)

setup: ## Install what is missing: packages, .venv, a private Postgres with pgvector
	@tests/support/setup.sh

clean: ## Remove all that was built or set up in the clone
	rm -rf .setup .venv demo/.run pg_test/results pg_test/regression.diffs pg_test/regression.out
	cargo clean
