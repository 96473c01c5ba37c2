"""Envoy with an external processor or two: Pointsman's, or the reference's body-based router.

Each is started from the configuration of examples/behind-envoy, cut down to one route and without TLS between Envoy and
the processor, so that what is compared is their own work.
"""

import contextlib
import pathlib
import socket

import proxies
import reference_bbr

from proxies import Place, Proxy, example, family, free_port

# What the reference's chart asks for besides the request; ours asks for none of it.
RESPONSES = {
    "response_header_mode": "SEND",
    "response_body_mode": "FULL_DUPLEX_STREAMED",
    "response_trailer_mode": "SEND",
}
# The ports of examples/behind-envoy/envoy.yaml.
GATEWAY, BBR, EPP = 8080, 9004, 9002
PROCESSOR_FLAGS = ("--secure-serving=false",)


def bbr(place: Place, stack: contextlib.ExitStack, binary: pathlib.Path) -> Proxy:
    return behind_envoy("envoy+bbr", place, stack, bbr=[binary, "bbr", "--streaming", *PROCESSOR_FLAGS])


def epp(place: Place, stack: contextlib.ExitStack, binary: pathlib.Path) -> Proxy:
    return behind_envoy("envoy+epp", place, stack, epp=epp_command(place, binary))


def both(place: Place, stack: contextlib.ExitStack, binary: pathlib.Path) -> Proxy:
    command = [binary, "bbr", "--streaming", *PROCESSOR_FLAGS]
    return behind_envoy("envoy+both", place, stack, bbr=command, epp=epp_command(place, binary))


def reference(place: Place, stack: contextlib.ExitStack) -> Proxy:
    """The reference at its cheapest: with one plugin, no log of requests, and asked for no responses."""
    return behind_envoy("envoy+reference", place, stack, bbr=reference_bbr.command(place.folder, *PROCESSOR_FLAGS))


def installed(place: Place, stack: contextlib.ExitStack) -> Proxy:
    """The reference as its own chart installs it."""
    command = reference_bbr.command(place.folder, *PROCESSOR_FLAGS, *reference_bbr.OF_ITS_CHART)
    return behind_envoy("envoy+installed", place, stack, RESPONSES, bbr=command)


def epp_command(place: Place, binary: pathlib.Path) -> list:
    own = ["--pool-name", "gemma3", "--admin", f"127.0.0.1:{free_port()}"]
    return [binary, "epp", *own, "--config", proxies.manifests(place, GATEWAY), *PROCESSOR_FLAGS]


def behind_envoy(
    name: str, place: Place, stack: contextlib.ExitStack, asked: dict[str, str] | None = None, **processors: list
) -> Proxy:
    """Starts the processors, by the name of their filter, and Envoy in front of them; `asked`: more of the filter's modes."""
    ports = {GATEWAY: free_port(), BBR: free_port(), EPP: free_port()}
    pids = {}
    for kind, command in processors.items():
        port = ports[{"bbr": BBR, "epp": EPP}[kind]]
        others = {"--grpc-health-port": free_port(), "--metrics-port": free_port()}
        flags = [f"{flag}={value}" for flag, value in ({"--grpc-port": port} | others).items()]
        process = proxies.ready(kind, [*command, *flags], lambda: accepts(port), place, stack)
        pids[kind] = family(process)
    cut = configuration(ports, place.endpoints, set(processors))
    cut.filters[0]["typed_config"]["processing_mode"] |= asked or {}
    file = cut.write(place.folder)
    envoy = proxies.started("envoy", proxies.envoy_command(file), ports[GATEWAY], place, stack)
    return Proxy(name, envoy.addresses, envoy.pids | pids)


def configuration(ports: dict[int, int], endpoints: list[str], kinds: set[str]) -> example.Configuration:
    """One route to the endpoints, through the filters of these kinds."""
    cut = example.Configuration()
    del cut.tree["admin"], cut.routes[1:]
    absent = {f"envoy.filters.http.ext_proc.{kind}" for kind in {"bbr", "epp"} - kinds}
    cut.manager["http_filters"] = [one for one in cut.filters if one["name"] not in absent]
    if "bbr" not in kinds:
        cut.routes[0]["match"] = {"prefix": "/"}
    if "epp" not in kinds:
        del cut.routes[0]["typed_per_filter_config"]
    kept = {"gemma3", *({"bbr": "bbr", "epp": "gemma3-epp"}[kind] for kind in kinds)}
    cut.tree["static_resources"]["clusters"] = [one for one in cut.clusters if one["name"] in kept]
    for cluster in cut.clusters:
        cluster.pop("transport_socket", None)
        cluster.pop("health_checks", None)  # the reference answers none on this port unless a flag says so
    model_servers = cut.cluster("gemma3")["load_assignment"]["endpoints"][0]
    model_servers["lb_endpoints"] = []
    cut.move(ports)
    for endpoint in endpoints:
        address = proxies.socket_address(*endpoint.split(":"))
        model_servers["lb_endpoints"].append({"endpoint": {"address": address}})
    return cut


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
