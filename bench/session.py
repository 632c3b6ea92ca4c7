"""A psql that stays connected, so that a statement costs a round trip of some 0.1 ms and not a process and a connection."""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
from cluster import Failure, clean_environment  # noqa: E402

END = "\x1dend of answer\x1d"


class Session:
    def __init__(self, server, database):
        command = [server.bindir / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-F", "\x1f", "-h", server.socket_folder]
        command += ["-p", server.port, "-U", "postgres", "-d", database]
        self.process = subprocess.Popen(
            [str(part) for part in command],
            env=clean_environment(PGOPTIONS="-c client_min_messages=warning"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )

    def query(self, sql):
        """The rows of the statements, each a list of texts; no value may contain a line break."""
        self.process.stdin.write(f"{sql};\n\\echo '{END}'\n")
        self.process.stdin.flush()
        rows = []
        for line in self.process.stdout:
            if line == END + "\n":
                return [row.split("\x1f") for row in rows]
            rows.append(line.rstrip("\n"))
        raise Failure("psql failed: " + "\n".join(rows[-5:]))

    def value(self, sql):
        return self.query(sql)[0][0]

    def number(self, sql):
        return float(self.value(sql))

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
