#!/usr/bin/env python3
"""Runs Envoy, Pointsman's body-based router and endpoint pickers, and simulated model servers, as processes.

Takes the binary from POINTSMAN (default: target/release/pointsman), prints one line when requests are answered and runs
until SIGINT or SIGTERM.
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import envoy

from processes import Address, free_port, reachable, soon, started  # from the folder above, as `envoy` has put it in the path

HERE = pathlib.Path(__file__).resolve().parent
MANIFESTS = HERE.parent / "two-models" / "manifests"
START_SECONDS = 30

# The ports of envoy.yaml and the manifests.
GATEWAY, ENVOY_ADMIN = 8080, 15000
BBR, BBR_HEALTH, BBR_METRICS = 9004, 9005, 9090
PICKERS, EPP_HEALTH, EPP_METRICS, EPP_ADMIN = {"gemma3": 9002, "deepseek-r1": 9012}, 9003, 9091, 9901
MODELS = {"gemma3": "chatbot", "deepseek-r1": "recommender"}
MODEL_SERVERS = {"gemma3": (18101, 18102, 18103), "deepseek-r1": (18201, 18202, 18203)}


class AsWritten(dict):
    """Every port as it is."""

    def __missing__(self, port: int) -> int:
        return port


class Free(dict):
    """A free port in place of each, always the same one."""

    def __missing__(self, port: int) -> int:
        self[port] = free_port()
        return self[port]


class Stack:
    """The processes, on the ports that `ports` gives for the written ones."""

    def __init__(self, stack: contextlib.ExitStack, binary: pathlib.Path, ports: dict[int, int]) -> None:
        self.stack, self.binary, self.ports = stack, binary, ports

    def address(self, port: int) -> Address:
        return "127.0.0.1", self.ports[port]

    def model_servers(self, *flags: str) -> None:
        for pool, ports in MODEL_SERVERS.items():
            for port in ports:
                self.run("sim", "--port", self.ports[port], "--model", MODELS[pool], *flags)
                soon(lambda: reachable(self.address(port), "/health"), f"the model server {port} is ready", START_SECONDS)

    def body_based_router(self, *flags: str) -> subprocess.Popen:
        ports = self.port_flags(BBR, BBR_HEALTH, BBR_METRICS)
        return self.run("bbr", *ports, *flags, ready=self.address(BBR_METRICS))

    def endpoint_pickers(self, *flags: str) -> subprocess.Popen:
        """The pickers of both pools, in one process."""
        first, second = PICKERS
        pools = ["--pool-name", first, "--pool", f"default/{second}={self.ports[PICKERS[second]]}"]
        admin = ["--admin", "%s:%d" % self.address(EPP_ADMIN)]
        ports = self.port_flags(PICKERS[first], EPP_HEALTH, EPP_METRICS)
        words = ["--config", self.manifests(), "--endpoints-max", 4, *pools, *admin, *ports, *flags]
        return self.run("epp", *words, ready=self.address(EPP_METRICS))

    def port_flags(self, grpc: int, health: int, metrics: int) -> list:
        flags = {"--grpc-port": grpc, "--grpc-health-port": health, "--metrics-port": metrics}
        return ["--bind", "127.0.0.1", *(word for flag, port in flags.items() for word in (flag, self.ports[port]))]

    def envoy(self, configuration: envoy.Configuration) -> subprocess.Popen:
        configuration.move(self.ports)
        file = configuration.write(self.folder())
        command = [envoy.program(), "-c", file, "--disable-hot-restart", "--log-level", "error", "--concurrency", "2"]
        return self.until_ready(started(self.stack, command), self.address(ENVOY_ADMIN), "/ready")

    def manifests(self) -> pathlib.Path:
        """Those of two-models, on these ports."""
        folder = self.folder()
        for manifest in MANIFESTS.iterdir():
            text = manifest.read_text()
            for port in (port for ports in MODEL_SERVERS.values() for port in ports):
                text = text.replace(f"port: {port}\n", f"port: {self.ports[port]}\n")
            (folder / manifest.name).write_text(text)
        return folder

    def folder(self) -> pathlib.Path:
        return pathlib.Path(self.stack.enter_context(tempfile.TemporaryDirectory()))

    def run(self, *words: object, ready: Address | None = None) -> subprocess.Popen:
        process = started(self.stack, [self.binary, *words])
        return self.until_ready(process, ready, "/metrics") if ready else process

    def until_ready(self, process: subprocess.Popen, address: Address, path: str) -> subprocess.Popen:
        what = f"{pathlib.Path(process.args[0]).name} is ready"
        soon(lambda: process.poll() is not None or reachable(address, path), what, START_SECONDS)
        if process.poll() is not None:
            raise RuntimeError(f"{' '.join(process.args)} ended with {process.returncode}")
        return process


def main() -> None:
    binary = pathlib.Path(os.environ.get("POINTSMAN") or HERE.parent.parent / "target" / "release" / "pointsman")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    with contextlib.ExitStack() as stack:
        parts = Stack(stack, binary, AsWritten())
        parts.model_servers()
        parts.body_based_router()
        parts.endpoint_pickers()
        parts.envoy(envoy.Configuration())
        print("ready http://%s:%d" % parts.address(GATEWAY), flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
