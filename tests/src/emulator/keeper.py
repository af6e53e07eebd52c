"""Runs an emulator of AWS for as long as the test that started this lives.

    keeper.py KIND PROGRAM [NAME=VALUE …]     KIND: ministack or moto

It finds a free port, starts the program there with a temporary folder of its own, waits until it answers, and says
`ready http://127.0.0.1:PORT` and, on a second line, the file with the program's log. It ends with its standard
input, that is, whenever and however the process at the other end does; the program and whatever that has started
(it runs Lambda functions as processes) end with it.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

START_WITHIN = 60  # s; a first start on a busy machine compiles some hundred Python files
HEALTH = {"ministack": "/_ministack/health", "moto": "/moto-api/data.json"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(folder, port, given):
    """Nothing of the caller's AWS settings: functions inherit all of this, and must not reach real AWS."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    kept["NO_PROXY"] = "127.0.0.1,localhost"
    return kept | {
        "TMPDIR": str(folder),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        # Else it listens for devices on every address of the machine, whatever BIND_HOST says.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # What the functions, which are its children, call.
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    } | given


def answers(kind, port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{HEALTH[kind]}", timeout=2) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


def start(kind, program, folder, given):
    port = free_port()
    log = folder / "log"
    command = [program]
    if kind == "moto":
        command += ["-H", "127.0.0.1", "-p", str(port)]
    with open(log, "wb") as output:
        # A group of its own, so that its children can be ended with it.
        server = subprocess.Popen(
            command, env=environment(folder, port, given), cwd=folder,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )
    until = time.monotonic() + START_WITHIN
    while time.monotonic() < until and server.poll() is None:
        # Somebody else may have taken the port in between; then this server ends, and another answers.
        if answers(kind, port) and server.poll() is None:
            return server, port, log
        time.sleep(0.05)
    end(server)
    tail = log.read_text(errors="replace").splitlines()[-20:]
    print(f"{kind} did not start: {' / '.join(tail)}", flush=True)
    return None


def end(server):
    try:
        os.killpg(server.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    server.wait()


def main(kind, program, *given):
    # Whoever started this ends it by closing the pipe; a Ctrl-C in the terminal closes it too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"rondo-{kind}-"))
    server = None
    try:
        started = start(kind, program, folder, dict(pair.split("=", 1) for pair in given))
        if started is None:
            return 1
        server, port, log = started
        print(f"ready http://127.0.0.1:{port}\n{log}", flush=True)
        while sys.stdin.buffer.read(4096):
            pass
        return 0
    finally:
        if server is not None:
            end(server)
        shutil.rmtree(folder, ignore_errors=True)


sys.exit(main(*sys.argv[1:]))
