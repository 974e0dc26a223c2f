"""Starts the backend and the proxy, runs a command with FRESHET_TEST_AWS set, and ends everything afterwards."""

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from .proxy import Proxy

_START_MAX = 60.0
_HERE = Path(__file__).resolve().parent.parent


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(port, process):
    end = time.monotonic() + _START_MAX
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.05)
    process.kill()
    sys.exit(f"emulator: the backend did not listen on {port} in {_START_MAX:.0f} s")


def _start(backend):
    """The backend's process and port."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    # Its own calls, if any, must not go through settings meant for the tests.
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        environment.pop(name, None)
    if backend == "ministack":
        port = _free_port()
        environment.update(GATEWAY_PORT=str(port), BIND_HOST="127.0.0.1", LOG_LEVEL="ERROR")
        command = [str(Path(sys.executable).parent / "ministack")]
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   start_new_session=True)
        _wait_for(port, process)
        return process, port
    process = subprocess.Popen([sys.executable, "-m", "emulator.moto_backend"], env=environment, cwd=_HERE,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    line = process.stdout.readline()
    if not line:
        sys.exit(f"emulator: moto did not start (exit code {process.wait()})")
    port = json.loads(line)["port"]
    _wait_for(port, process)
    return process, port


def _stop(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()


async def _run(arguments, backend_port):
    server, port = await Proxy(backend_port).serve(arguments.port, arguments.host)
    endpoint = f"http://127.0.0.1:{port}"
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with server:
        if not arguments.command:
            print(endpoint, flush=True)
            await stop.wait()
            return 0
        print(f"emulator ({arguments.backend}): {endpoint}", file=sys.stderr, flush=True)
        environment = {**os.environ, "FRESHET_TEST_AWS": endpoint, "FRESHET_EMULATOR": arguments.backend}
        # Set for this process only; the tests start Pythons of their own.
        environment.pop("PYTHONPATH", None)
        child = await asyncio.create_subprocess_exec(*arguments.command, env=environment)
        waiting = asyncio.ensure_future(child.wait())
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait([waiting, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            child.terminate()
        stopped.cancel()
        code = await waiting
        return code if code >= 0 else 128 - code


def main():
    parser = argparse.ArgumentParser(prog="emulator", description=__doc__)
    parser.add_argument("--backend", choices=("moto", "ministack"), default=os.environ.get("FRESHET_EMULATOR") or "moto")
    parser.add_argument("--port", type=int, default=0, help="the proxy's port; 0 lets the system choose")
    parser.add_argument("--host", default="127.0.0.1", help="where the proxy listens; for containers")
    parser.add_argument("command", nargs="*", help="what to run; without it the address is printed and served until stopped")
    arguments = parser.parse_args()
    process, port = _start(arguments.backend)
    try:
        code = asyncio.run(_run(arguments, port))
    finally:
        _stop(process)
    sys.exit(code)


if __name__ == "__main__":
    main()
