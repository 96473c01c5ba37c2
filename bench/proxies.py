"""The proxies that are compared: each is started on a free port of the loopback address, in front of the same endpoints.

nginx and Envoy pass requests through unread, in the cheapest configuration that was found for each; Pointsman reads the
model, routes on it and picks an endpoint. Nobody writes an access log to a disk.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

EXAMPLE = pathlib.Path(__file__).resolve().parent.parent / "examples" / "behind-envoy"
sys.path.insert(0, str(EXAMPLE))

import envoy as example
import processes

from processes import free_port

READY_SECONDS = 20
STOP_SECONDS = 5


@dataclasses.dataclass
class Proxy:
    """What answers, and the processes that do it by name: none where there is nothing in between."""

    name: str
    addresses: list[str]
    pids: dict[str, list[int]]


@dataclasses.dataclass
class Place:
    """Where a proxy is to be started."""

    folder: pathlib.Path
    endpoints: list[str]
    cores: set[int]


class Missing(Exception):
    """A peer cannot be had on this machine."""


def nothing(place: Place, stack: contextlib.ExitStack) -> Proxy:
    return Proxy("no proxy", place.endpoints, {})


def pointsman(place: Place, stack: contextlib.ExitStack, binary: pathlib.Path) -> Proxy:
    port, admin = free_port(), free_port()
    command = [binary, "run", "--config", manifests(place, port), "--admin", f"127.0.0.1:{admin}"]
    return started("pointsman", command, port, place, stack)


def nginx(place: Place, stack: contextlib.ExitStack) -> Proxy:
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if binary is None:
        raise Missing("nginx is not installed: apt-get install nginx-light")
    port = free_port()
    servers = "\n".join(f"    server {endpoint};" for endpoint in place.endpoints)
    configuration = place.folder / "nginx.conf"
    # Request buffering is off: with it nginx holds each body whole (above 16 KiB in a file) and costs more.
    user = "user root;\n" if os.geteuid() == 0 else ""  # else the worker could not enter its own folder
    configuration.write_text(f"""{user}daemon off;
worker_processes 1;
pid {place.folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {place.folder}/body;
  proxy_temp_path {place.folder}/proxy;
  fastcgi_temp_path {place.folder}/fastcgi;
  uwsgi_temp_path {place.folder}/uwsgi;
  scgi_temp_path {place.folder}/scgi;
  client_max_body_size 32m;
  client_body_buffer_size 64k;
  keepalive_requests 1000000000;
  upstream endpoints {{
{servers}
    keepalive 64;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://endpoints;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_request_buffering off;
    }}
  }}
}}
""")
    return started("nginx", [binary, "-c", configuration, "-p", place.folder], port, place, stack)


def envoy(place: Place, stack: contextlib.ExitStack) -> Proxy:
    port = free_port()
    configuration = place.folder / "envoy.json"
    configuration.write_text(json.dumps(envoy_configuration(port, place.endpoints)))
    return started("envoy", envoy_command(configuration), port, place, stack)


def envoy_command(configuration: pathlib.Path) -> list:
    flags = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return [example.program(), "-c", configuration, *flags]


def envoy_configuration(port: int, endpoints: list[str]) -> dict:
    typed = "type.googleapis.com/envoy.extensions.filters"
    router = {"name": "router", "typed_config": {"@type": f"{typed}.http.router.v3.Router"}}
    manager = {
        "@type": f"{typed}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "http_filters": [router],
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "all"}}]}
            ]
        },
    }
    hosts = [{"endpoint": {"address": socket_address(*endpoint.split(":"))}} for endpoint in endpoints]
    return {
        "static_resources": {
            "listeners": [
                {
                    "address": socket_address("127.0.0.1", port),
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ],
            "clusters": [
                {
                    "name": "all",
                    "type": "STATIC",
                    "load_assignment": {"cluster_name": "all", "endpoints": [{"lb_endpoints": hosts}]},
                }
            ],
        }
    }


def socket_address(address: str, port: int | str) -> dict:
    return {"socket_address": {"address": address, "port_value": int(port)}}


def manifests(place: Place, port: int) -> pathlib.Path:
    """A folder with the route from this port to a pool of the place's endpoints."""
    folder = place.folder / "manifests"
    folder.mkdir()
    objects = [gateway(port), http_route(), inference_pool(), *endpoint_slices(place.endpoints)]
    (folder / "all.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    return folder


def gateway(port: int) -> dict:
    listener = {"name": "http", "protocol": "HTTP", "port": port}
    spec = {"gatewayClassName": "pointsman", "listeners": [listener]}
    return manifest("gateway.networking.k8s.io/v1", "Gateway", "inference-gateway", spec=spec)


def http_route() -> dict:
    model = {"type": "Exact", "name": "X-Gateway-Model-Name", "value": "chatbot"}
    match = {"path": {"type": "PathPrefix", "value": "/"}, "headers": [model]}
    backend = {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "gemma3"}
    spec = {
        "parentRefs": [{"name": "inference-gateway"}],
        "rules": [{"matches": [match], "backendRefs": [backend]}],
    }
    return manifest("gateway.networking.k8s.io/v1", "HTTPRoute", "routes-to-llms", spec=spec)


def inference_pool() -> dict:
    spec = {
        "selector": {"matchLabels": {"app": "gemma3"}},
        "targetPorts": [{"number": 8000}],
        "endpointPickerRef": {"name": "gemma3-epp", "port": {"number": 9002}},
    }
    return manifest("inference.networking.k8s.io/v1", "InferencePool", "gemma3", spec=spec)


def endpoint_slices(endpoints: list[str]) -> list[dict]:
    slices = []
    for index, endpoint in enumerate(endpoints):
        address, port = endpoint.split(":")
        fields = {
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": [{"port": int(port)}],
        }
        one = manifest("discovery.k8s.io/v1", "EndpointSlice", f"gemma3-{index}", **fields)
        one["metadata"]["labels"] = {"app": "gemma3"}
        slices.append(one)
    return slices


def manifest(api_version: str, kind: str, name: str, **fields: object) -> dict:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}


def started(name: str, command: list, port: int, place: Place, stack: contextlib.ExitStack) -> Proxy:
    """Starts a proxy on the place's cores and waits until a chat request comes back through it."""
    process = ready(name, command, lambda: answers(port), place, stack)
    return Proxy(name, [f"127.0.0.1:{port}"], {name: family(process)})


def ready(name: str, command: list, is_ready, place: Place, stack: contextlib.ExitStack) -> subprocess.Popen:
    """Starts a process on the place's cores and waits until it is ready."""
    log = place.folder / f"{name}.log"
    process = run_on(place.cores, command, stack, stdout=subprocess.DEVNULL, stderr=log.open("wb"))
    deadline = time.monotonic() + READY_SECONDS
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{name} does not answer; it said:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)
    return process


def run_on(cores: set[int], command: list, stack: contextlib.ExitStack, **streams: object) -> subprocess.Popen:
    """A process on these cores, stopped by its id when the stack unwinds."""
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
        **streams,
    )
    stack.callback(stop, process)
    return process


def stop(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    body = b'{"model":"chatbot","messages":[{"role":"user","content":"ready?"}]}'
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", data=body)
    request.add_header("content-type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=2) as response:
            return response.status == 200
    except OSError:  # refused, reset, or an answer other than 2xx
        return False


def family(process: subprocess.Popen) -> list[int]:
    """A process and its children."""
    found = [process.pid]
    for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found
