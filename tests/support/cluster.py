"""A private Postgres server and the processes beside it, for the demo and for pg_regress.

Everything started here ends with the program that started it, also when that program is killed.
"""

import contextlib
import ctypes
import fcntl
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Settings of the caller that would lead a private server or its clients elsewhere.
FOREIGN_SETTINGS = ("AWS_", "PG", "OPENAI_", "MOTO_", "RUST_BACKTRACE")
# A socket's whole path must fit into sockaddr_un: 108 bytes with its end, and the name is `.s.PGSQL.<port>`.
LONGEST_SOCKET_FOLDER = 88
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class Failure(Exception):
    """Something that the person at the terminal can act on: printed without a trace."""


def server_user():
    """The user to run Postgres as: `postgres` for root, because Postgres refuses to run as root; else nobody special."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        raise Failure("Postgres does not run as root, and there is no user postgres to run it as") from None


def as_server_user():
    user = server_user()
    return {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def end_with_parent(signal_number):
    """Runs in the child: the kernel sends it `signal_number` when this program ends, however it ends."""
    return lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal_number)


def clean_environment(**settings):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_SETTINGS)}
    # A proxy of the network outside has no way to a server on this machine.
    for name in ("NO_PROXY", "no_proxy"):
        environment[name] = ",".join(filter(None, [environment.get(name), "127.0.0.1", "localhost"]))
    environment.update(settings)
    return environment


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, condition, seconds, process=None, log=None):
    """Waits until `condition()` is true; says what the log says if `process` ends or time runs out before."""
    deadline = time.monotonic() + seconds
    while not condition():
        ended = process is not None and process.poll() is not None
        if ended or time.monotonic() > deadline:
            tail = "\n".join(Path(log).read_text(errors="replace").splitlines()[-15:]) if log else ""
            why = f"ended with code {process.returncode}" if ended else f"was not ready within {seconds} s"
            raise Failure(f"{what} {why}\n{tail}".rstrip())
        time.sleep(0.03)


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def running(what, command, log, stop_signal=signal.SIGTERM, patience=10, **options):
    """A child process in a session of its own, so that Ctrl-C reaches only this program, which then ends it in order."""
    with open(log, "ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            **{"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT, **options},
            start_new_session=True,
            preexec_fn=end_with_parent(stop_signal),
        )
    try:
        yield process
    finally:
        if process.stdin:
            with contextlib.suppress(OSError):
                process.stdin.close()
        if process.poll() is None:
            process.send_signal(stop_signal)
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                print(f"{what} did not stop within {patience} s and is killed", file=sys.stderr)
                process.kill()
                process.wait()


@contextlib.contextmanager
def reachable(tree, folder):
    """`tree` (a Postgres) and `folder` (for its data), both where the server's user can go.

    Root may have its clone in a folder that is closed to others, such as its home: then both are in a temporary folder, removed at the end.
    """
    probe = ["test", "-x", str(tree), "-a", "-r", str(tree)]
    if server_user() is None or subprocess.run(probe, **as_server_user()).returncode == 0:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        with open(folder / "lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Failure(f"another run of this clone is using {folder}; end it first") from None
            yield tree, folder
        return
    temporary = Path(tempfile.mkdtemp(prefix="ai-"))
    try:
        temporary.chmod(0o755)
        print(f"the user postgres may not enter {ROOT}: Postgres and its data are in {temporary} for this run")
        shutil.copytree(tree, temporary / "postgres", symlinks=True)
        (temporary / "run").mkdir()
        (temporary / "run").chmod(0o755)
        yield temporary / "postgres", temporary / "run"
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def bin_folder(tree, major):
    return tree / "lib" / "postgresql" / major / "bin"


class Cluster:
    """A running server: how to reach it, and psql on it."""

    def __init__(self, bindir, socket_folder, port, password):
        self.bindir, self.socket_folder, self.port, self.password = bindir, socket_folder, port, password

    def psql(self, *arguments, database="postgres", capture=True, **options):
        command = [self.bindir / "psql", "-X", "-v", "ON_ERROR_STOP=1", "-h", self.socket_folder, "-p", self.port]
        command += ["-U", "postgres", "-d", database, *arguments]
        done = subprocess.run(
            [str(part) for part in command],
            env=clean_environment(PGOPTIONS="-c client_min_messages=warning"),
            stdin=subprocess.DEVNULL,
            capture_output=capture,
            text=True,
            **options,
        )
        if done.returncode != 0:
            said = (done.stderr or "").strip() if capture else "see above"
            raise Failure(f"psql failed: {said}")
        return done.stdout

    def query(self, sql, database="postgres"):
        """The rows of one statement, each a list of texts."""
        output = self.psql("-A", "-t", "-q", "-F", "\x1f", "-R", "\x1e", "-c", sql, database=database)
        return [row.split("\x1f") for row in output.rstrip("\n").split("\x1e") if row]


@contextlib.contextmanager
def cluster(bindir, folder, settings, environment, keep_log=None):
    """A new cluster in `folder`/data, started with `settings` and stopped at the end.

    Local connections by the socket need no password: its folder is closed to other users. Those by TCP do.
    """
    data, log = folder / "data", folder / "postgres.log"
    sockets = folder / "socket"
    with contextlib.ExitStack() as stack:
        if len(os.fsencode(sockets)) > LONGEST_SOCKET_FOLDER:
            sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ai-")))
        for old in (data, log):
            shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)
        password, password_file = secrets.token_hex(8), folder / "password"
        password_file.write_text(password)
        password_file.chmod(0o600)
        for path in (data, sockets):
            path.mkdir(exist_ok=True)
            path.chmod(0o700)
        log.touch()
        if user := server_user():
            for path in (data, sockets, password_file):
                os.chown(path, user.pw_uid, user.pw_gid)
        environment = {**clean_environment(HOME=str(data), LC_ALL="C.UTF-8"), **environment}
        made = subprocess.run(
            [bindir / "initdb", "-D", data, "-U", "postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync",
             "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password_file}"],
            env=environment, cwd="/", capture_output=True, text=True, **as_server_user(),
        )
        password_file.unlink()
        if made.returncode != 0:
            raise Failure(f"initdb failed: {made.stderr.strip()}")
        for attempt in range(5):
            port = free_port()
            options = {
                "listen_addresses": "127.0.0.1",
                "port": port,
                "unix_socket_directories": sockets,
                # Losing a throwaway cluster in a power cut is no loss.
                "fsync": "off",
                **settings,
            }
            command = [bindir / "postgres", "-D", data]
            command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
            server = running("Postgres", command, log, signal.SIGINT, 30, env=environment, cwd="/", **as_server_user())
            with contextlib.ExitStack() as attempt_stack:
                process = attempt_stack.enter_context(server)
                found = Cluster(bindir, sockets, port, password)
                ready = [str(bindir / "pg_isready"), "-q", "-U", "postgres", "-h", str(sockets), "-p", str(port)]
                try:
                    wait_for("Postgres", lambda: subprocess.run(ready).returncode == 0, 60, process, log)
                except Failure:
                    # Someone else may have taken the port since it was found free.
                    if attempt < 4 and "could not bind" in log.read_text(errors="replace"):
                        log.write_text("")
                        continue
                    raise
                stack.push(attempt_stack.pop_all())
            break
        yield found
