#!/usr/bin/env bash
# Installs the extension into a Postgres: library, parser program, control file and SQL.
#
#   install.sh PG_CONFIG FOLDER    FOLDER holds libai.so and ai-parser, such as target/release
set -euo pipefail
pg_config=$1
built=$(cd "$2" && pwd)
cd "$(dirname "$0")/../.."

fail() {
  printf 'install: %s\n' "$1" >&2
  exit 1
}

for file in libai.so ai-parser; do
  [ -e "$built/$file" ] || fail "$built/$file is missing: build first"
done
"$pg_config" --version >/dev/null || fail "$pg_config does not answer"
library=$("$pg_config" --pkglibdir)
extension=$("$pg_config" --sharedir)/extension

version=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" ai.control)
cargo_version=$(sed -n '/^\[workspace\.package\]/,/^\[/s/^version *= *"\(.*\)"/\1/p' Cargo.toml)
[ "$version" = "$cargo_version" ] || fail "ai.control says version $version, Cargo.toml says $cargo_version"

# The install script is made of the files that src/lib.rs names, in its order.
mapfile -t parts < <(grep -v '^ *//' src/lib.rs | tr '\n' ' ' | grep -oE 'extension_sql_file!\( *"\.\./[^"]+"' | sed 's|.*"\.\./||; s|"$||')
[ ${#parts[@]} -gt 0 ] || fail "src/lib.rs names no SQL file"
script=$(mktemp)
trap 'rm -f "$script"' EXIT
printf '\\echo Use "CREATE EXTENSION ai CASCADE" to load this file. \\quit\n' >"$script"
for part in "${parts[@]}"; do
  printf '\n-- %s\n' "$part"
  cat "$part"
done >>"$script"

# The nearest folder that exists decides who may write.
writable() {
  local folder=$1
  while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
  [ -w "$folder" ]
}
root=()
if ! writable "$library" || ! writable "$extension"; then
  command -v sudo >/dev/null || fail "$library and $extension are not writable for $(id -un), and there is no sudo"
  root=(sudo)
fi
"${root[@]}" install -d "$library" "$extension"
"${root[@]}" install -m 755 "$built/libai.so" "$library/ai.so"
"${root[@]}" install -m 755 "$built/ai-parser" "$library/ai-parser"
"${root[@]}" install -m 644 ai.control "$extension/ai.control"
"${root[@]}" install -m 644 "$script" "$extension/ai--$version.sql"
shopt -s nullglob
for upgrade in sql/ai--*--*.sql; do
  "${root[@]}" install -m 644 "$upgrade" "$extension/"
done
printf 'install: ai %s is in %s and %s\n' "$version" "$library" "$extension"
