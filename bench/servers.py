"""The embedding provider and the object store: compiled, in memory, and as slow as they are told."""

import contextlib
import http.client
import json
import re
import subprocess
import time
from pathlib import Path

from cluster import ROOT, Failure, clean_environment, running, wait_for

# Sleeping shorter would take the processor from what is measured.
LOOK_EVERY = 0.005


class Server:
    """What both have in common: a few requests of the driver's own, over one connection."""

    def __init__(self, address):
        self.address = address
        self.connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)

    def request(self, method, path, body=None, headers=None):
        self.connection.request(method, path, body, headers or {})
        response = self.connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise Failure(f"{method} {path} answered {response.status}: {answer[:200]}")
        return answer

    def counts(self):
        return json.loads(self.request("GET", "/counts"))


class Provider(Server):
    @property
    def base_url(self):
        return f"{self.address}/v1"

    def latency(self, milliseconds):
        behaviour = {"behaviour": "slow", "milliseconds": milliseconds} if milliseconds else {"behaviour": "well"}
        # `text` belongs to behaviours that are not ours, but is asked for.
        self.request("POST", "/behaviour", json.dumps({**behaviour, "text": ""}))


class Objects(Server):
    def latency(self, milliseconds):
        self.request("POST", "/latency", str(milliseconds))

    def put(self, bucket, name, text, media_type="text/markdown; charset=utf-8"):
        body = text if isinstance(text, bytes) else text.encode()
        self.request("PUT", f"/{bucket}/{name}", body, {"Content-Type": media_type})


def wait_for_request(servers, before, seconds=120):
    """The time at which one of the servers has got a request more than `before` says."""
    deadline = time.monotonic() + seconds
    while True:
        if any(arrived(server) > count for server, count in zip(servers, before)):
            return time.perf_counter()
        if time.monotonic() > deadline:
            raise Failure(f"nobody asked the servers for anything within {seconds} s")
        time.sleep(LOOK_EVERY)


def arrived(server):
    counts = server.counts()
    return counts.get("requests", 0) + counts.get("gets", 0)


@contextlib.contextmanager
def started(what, kind, command, folder):
    log = folder / f"{command[0].name}.log"
    log.write_bytes(b"")
    with running(what, command, log, stdin=subprocess.PIPE, env=clean_environment()) as process:
        def line():
            return re.match(r"listening on (http://127\.0\.0\.1:\d+)\S*\n", log.read_text(errors="replace"))

        wait_for(what, line, 30, process, log)
        yield kind(line()[1])


def provider(programs, folder):
    command = [programs / "provider", "--port", "0", "--same-vector", "--quiet", "--stop-with-stdin"]
    return started("the provider", Provider, command, folder)


def objects(programs, folder):
    return started("the object store", Objects, [programs / "object-store"], folder)


def build():
    """Compiles both; returns the folder of the programs."""
    done = subprocess.run(
        ["cargo", "build", "--locked", "--release", "-p", "provider", "-p", "object-store"], cwd=ROOT, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise Failure("the servers of the bench do not build, see above")
    return programs("release")


def programs(profile):
    """The folder of the programs that were compiled so."""
    metadata = subprocess.run(
        ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"], cwd=ROOT, capture_output=True, text=True
    )
    if metadata.returncode != 0:
        raise Failure(f"cargo metadata failed: {metadata.stderr.strip()}")
    return Path(json.loads(metadata.stdout)["target_directory"]) / profile
