"""Processes on free ports of the loopback address: started, waited for, and stopped by their id."""

import contextlib
import http.client
import socket
import subprocess
import time

Address = tuple[str, int]

SOON_SECONDS = 10  # until something that happened at once is seen


def started(stack: contextlib.ExitStack, command: list, **streams: object) -> subprocess.Popen:
    """A process that ends when the stack unwinds."""
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, **streams)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    if process.stdout:
        stack.callback(process.stdout.close)
    return process


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def reachable(address: Address, path: str) -> bool:
    try:
        get(address, path)
        return True
    except (OSError, http.client.HTTPException):
        return False


def get(address: Address, path: str) -> str:
    connection = http.client.HTTPConnection(*address, timeout=SOON_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        if response.status != 200:
            raise http.client.HTTPException(f"{path}: {response.status}")
        return response.read().decode()


def metric(address: Address, name: str) -> float:
    """The sum of a metric's series, 0 if there are none."""
    lines = (line.rsplit(" ", 1) for line in get(address, "/metrics").splitlines() if line)
    return sum(float(value) for series, value in lines if series.partition("{")[0] == name)


def soon(condition, what: str, seconds: float = SOON_SECONDS, pause: float = 0.05) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(pause)
