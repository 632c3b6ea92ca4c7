#!/usr/bin/env bash
# Builds the extension, the parser and the test provider, and installs the first two into the private Postgres of setup.sh.
# With --release and a pg_config, builds for that Postgres and installs there.
#
#   build.sh                       for the demo and the tests
#   build.sh --release PG_CONFIG   for `make install`
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin

major=${PG:-15}
target=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
if [ "${1:-}" = --release ]; then
  pg_config=$2
  if ! answer=$("$pg_config" --version 2>&1); then
    printf 'build: %s does not answer as pg_config does: %s\n' "$pg_config" "$answer" >&2
    exit 1
  fi
  major=$(sed 's/^PostgreSQL \([0-9]*\).*/\1/' <<<"$answer")
  PGRX_PG_CONFIG_PATH=$(command -v "$pg_config") cargo build --locked --release -p ai -p ai-pipeline \
    --no-default-features --features "ai/pg$major"
  tests/support/install.sh "$pg_config" "$target/release"
else
  # The headers of the system's Postgres are those of its copy, and their path is the same for every clone.
  # `--workspace` and `--examples` (there are none) make cargo choose the features that `cargo test --workspace` chooses:
  # otherwise the AWS SDK is compiled a second time for the tests.
  PGRX_PG_CONFIG_PATH=/usr/lib/postgresql/$major/bin/pg_config cargo build --locked --workspace --lib --bins --examples \
    --no-default-features --features "ai/pg$major"
  tests/support/install.sh "$PWD/.setup/postgres-$major/lib/postgresql/$major/bin/pg_config" "$target/debug"
fi
