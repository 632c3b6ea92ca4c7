"""The test binaries of the workspace, several at a time: each waits for servers more than it computes."""

import json
import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# One more than there are processors, as most of a test's time is spent waiting for a state.
AT_A_TIME = (os.cpu_count() or 1) + 1
# None takes longer than some minutes. A hang must not take the whole run with it.
SECONDS_AT_MOST = 1200
running = set()
stopping = threading.Event()


def built(command, root, environment):
    """Builds the tests by `command` (cargo test and its features) and lists each binary with the folder in which cargo would
    run it; None if they do not compile."""
    answer = subprocess.run([*command, "--no-run", "--message-format=json-render-diagnostics"], cwd=root,
                            env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if answer.returncode:
        return None
    messages = [json.loads(line) for line in answer.stdout.splitlines() if line.startswith("{")]
    return [(message["executable"], str(Path(message["manifest_path"]).parent)) for message in messages
            if message.get("reason") == "compiler-artifact" and message["profile"]["test"] and message["executable"]]


def outcome(binary, folder, environment):
    """Runs one binary; what it returned, what it printed, and its seconds. What it started ends with it."""
    started = time.monotonic()
    process = subprocess.Popen([binary], cwd=folder, env={**os.environ, **environment, "CARGO_MANIFEST_DIR": folder},
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               errors="replace")
    running.add(process)
    try:
        text, code = process.communicate(timeout=SECONDS_AT_MOST)[0], process.returncode
    except subprocess.TimeoutExpired:
        process.kill()
        text, code = process.communicate()[0] + f"\nstopped after {SECONDS_AT_MOST} s\n", 1
    finally:
        running.discard(process)
    return code, text, time.monotonic() - started


def all_pass(binaries, environment):
    """Runs all of them and prints the output of each when it ends; the names of those that failed come last."""
    failed, tests = [], 0
    stopping.clear()

    def one(binary, folder):
        return None if stopping.is_set() else outcome(binary, folder, environment)

    with ThreadPoolExecutor(AT_A_TIME) as places:
        waiting = [(Path(binary).name.rsplit("-", 1)[0], places.submit(one, binary, folder)) for binary, folder in binaries]
        try:
            for name, future in waiting:
                code, text, seconds = future.result()
                print(f"--- {name}, {seconds:.1f} s\n{text.strip()}", flush=True)
                tests += sum(line.startswith("test ") and line.endswith("... ok") for line in text.splitlines())
                if code:
                    failed.append(name)
        except BaseException:
            stopping.set()
            for process in list(running):
                process.kill()
            raise
    print(f"\n{len(binaries)} binaries, {tests} tests passed; failed: {', '.join(failed) or 'none'}", flush=True)
    return bool(binaries) and not failed
