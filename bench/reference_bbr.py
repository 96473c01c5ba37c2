"""The reference's body-based router, built once for each version from the Go module in reference/."""

import json
import pathlib
import shutil
import subprocess
import sys

from proxies import Missing, example

MODULE = "sigs.k8s.io/gateway-api-inference-extension"
HERE = pathlib.Path(__file__).resolve().parent / "reference"

# It wants to know a Kubernetes API server, though it asks it nothing.
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "none",
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "users": [{"name": "none", "user": {}}],
}
PLUGIN = 'body-field-to-header:model:{"fieldName":"model","headerName":"X-Gateway-Model-Name"}'
# What the values of its chart add to that.
OF_ITS_CHART = ("--plugin", "base-model-to-header:base-model-mapper", "--v", "3")


def command(folder: pathlib.Path, *flags: str) -> list:
    """How it is started: to read the model and nothing else; neither traced nor asked who reads its metrics."""
    kubeconfig = folder / "kubeconfig.json"
    kubeconfig.write_text(json.dumps(KUBECONFIG))
    words = ["--streaming", "--plugin", PLUGIN, "--tracing=false", "--metrics-endpoint-auth=false"]
    return ["env", f"KUBECONFIG={kubeconfig}", program(), *words, *flags]


def program() -> pathlib.Path:
    go = shutil.which("go")
    if go is None:
        raise Missing("the reference is built with Go 1.25 or later, which is not installed")
    binary = example.pypi.cache() / f"reference-bbr-{version()}"
    if not binary.exists():
        print(f"building the reference body-based router {version()}", file=sys.stderr, flush=True)
        fresh = binary.with_name(f"{binary.name}.fresh")
        build = [go, "build", "-trimpath", "-o", fresh, f"{MODULE}/cmd/bbr"]
        if subprocess.run(build, cwd=HERE, stdout=sys.stderr).returncode != 0:
            raise Missing("the reference could not be built")
        fresh.rename(binary)
    return binary


def version() -> str:
    """The one that go.mod asks for."""
    lines = (HERE / "go.mod").read_text().split("\n")
    return next(line.split()[-1] for line in lines if MODULE in line)
