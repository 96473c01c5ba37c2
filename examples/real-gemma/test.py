#!/usr/bin/env python3
"""Sends requests through the gateway to a real Gemma 3, and checks what the client, the model server and the gateway see.

Takes the binary from POINTSMAN (default: target/debug/pointsman). Every port is a free one; everything stops at the end.
"""

import contextlib
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from processes import free_port, get, metric, reachable, soon, started

BINARY = pathlib.Path(os.environ.get("POINTSMAN") or HERE.parent.parent / "target" / "debug" / "pointsman")
ANSWER_SECONDS = 60     # a slow machine has to compute every token
HANG_UP_SECONDS = 30    # until llama.cpp has seen a hang-up
START_SECONDS = 30
LONG = 1_500            # tokens of an answer that must not end by itself while it is watched

QUESTION = {"messages": [{"role": "user", "content": "What is the color of the sky?"}], "max_tokens": 32}
PROMPT = {"prompt": "The color of the sky is", "max_tokens": 16}
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"


class RealGemma(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        stack = cls.enterClassContext(contextlib.ExitStack())
        cls.server = start_server(stack)
        cls.gateway, cls.admin = start_gateway(stack, cls.server)

    def setUp(self) -> None:
        soon(lambda: self.running() == 0, "the gateway's last scrape shows nothing of the test before")

    def test_a_chat_request_is_answered(self) -> None:
        answer = self.ask(CHAT, QUESTION)
        self.assertIn("blue", answer["choices"][0]["message"]["content"].lower())

    def test_a_completion_is_answered_with_words(self) -> None:
        answer = self.ask(COMPLETIONS, PROMPT)
        self.assertGreater(len(words(answer["choices"][0]["text"])), 4, answer)

    def test_a_chat_request_is_streamed(self) -> None:
        events = self.stream(CHAT, QUESTION)
        text = "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"])
        self.assertIn("blue", text.lower())

    def test_a_completion_is_streamed_event_by_event(self) -> None:
        events = self.stream(COMPLETIONS, PROMPT)
        self.assertGreater(len(events), 4)
        text = "".join(choice["text"] for event in events for choice in event["choices"])
        self.assertGreater(len(words(text)), 4, text)

    def test_usage_is_counted_as_the_model_server_told_it(self) -> None:
        counted = "inference_objective_input_tokens_sum", "inference_objective_output_tokens_sum"
        before = [metric(self.admin, name) for name in counted]
        told = [self.ask(CHAT, QUESTION)["usage"], self.stream(COMPLETIONS, PROMPT)[-1]["usage"]]
        expected = [
            before[0] + sum(usage["prompt_tokens"] for usage in told),
            before[1] + sum(usage["completion_tokens"] for usage in told),
        ]
        soon(lambda: [metric(self.admin, name) for name in counted] == expected, "the tokens are counted")

    def test_a_hang_up_in_a_stream_reaches_the_model_server(self) -> None:
        with self.post(COMPLETIONS, PROMPT | {"stream": True, "max_tokens": LONG, "ignore_eos": True}) as response:
            self.assertTrue(response.readline().startswith(b"data: "))
            soon(lambda: self.running() == 1, "the model server works on the request")
        self.assert_stopped()

    def test_a_hang_up_before_the_answer_reaches_the_model_server(self) -> None:
        body = json.dumps({"model": "chatbot", "prompt": "Once", "max_tokens": LONG, "ignore_eos": True}).encode()
        with socket.create_connection(self.gateway) as connection:
            head = f"POST {COMPLETIONS} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            soon(lambda: self.running() == 1, "the model server works on the request")
        self.assert_stopped()

    def test_the_metrics_of_llama_cpp_are_read(self) -> None:
        with self.post(COMPLETIONS, PROMPT | {"stream": True, "max_tokens": LONG, "ignore_eos": True}):
            soon(lambda: self.running() == 1, "the gateway sees the request run")
        soon(lambda: self.running() == 0, "the gateway sees that nothing runs")
        endpoints = get(self.admin, "/endpoints")
        self.assertIn("%s:%d" % self.server, endpoints)

    def ask(self, path: str, request: dict) -> dict:
        with self.post(path, request) as response:
            return json.load(response)

    def stream(self, path: str, request: dict) -> list[dict]:
        """The events of a streamed answer, which must end with `[DONE]`."""
        options = {"stream": True, "stream_options": {"include_usage": True}}
        with self.post(path, request | options) as response:
            self.assertTrue(response.getheader("content-type").startswith("text/event-stream"))
            data = [line[6:].strip() for line in response if line.startswith(b"data: ")]
        self.assertEqual(data.pop(), b"[DONE]")
        return [json.loads(event) for event in data]

    @contextlib.contextmanager
    def post(self, path: str, request: dict):
        """Hangs up when it is left."""
        connection = http.client.HTTPConnection(*self.gateway, timeout=ANSWER_SECONDS)
        body = json.dumps({"model": "chatbot", "temperature": 0} | request)
        connection.request("POST", path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        try:
            self.assertEqual(response.status, 200)
            yield response
        finally:
            response.close()
            connection.close()

    def assert_stopped(self) -> None:
        """The model server stops working on the one request that it has, long before its answer would have ended.

        Watched through the gateway's own scrapes: before an answer's first byte llama.cpp looks for a hang-up only after
        a second in which it produced nothing, and a second reader of its metrics would leave it no such second.
        """
        predicted = metric(self.server, "llamacpp:tokens_predicted_total")
        soon(lambda: self.running() == 0, "the model server has stopped", HANG_UP_SECONDS)
        self.assertEqual(metric(self.server, "llamacpp:requests_processing"), 0)
        self.assertLess(metric(self.server, "llamacpp:tokens_predicted_total") - predicted, LONG)

    def running(self) -> float:
        """Requests that the model server works on, by the gateway's last scrape."""
        return metric(self.admin, "inference_pool_average_running_requests")


def start_server(stack: contextlib.ExitStack) -> tuple[str, int]:
    """The real model server; the first time it installs itself, so no limit is set on the time."""
    process = started(stack, [sys.executable, HERE / "serve.py", "--port", "0"], stdout=subprocess.PIPE, text=True)
    word, _, address = process.stdout.readline().strip().partition(" http://")
    if word != "ready":
        raise RuntimeError("the model server did not start")
    host, port = address.split(":")
    return host, int(port)


def start_gateway(stack: contextlib.ExitStack, server: tuple[str, int]) -> tuple[tuple[str, int], tuple[str, int]]:
    """The gateway with the manifests beside this file, its ports replaced by free ones."""
    gateway, admin = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
    folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
    for manifest in (HERE / "manifests").iterdir():
        text = manifest.read_text().replace("port: 8080", f"port: {gateway[1]}")
        (folder / manifest.name).write_text(text.replace("port: 18101", f"port: {server[1]}"))
    process = started(stack, [BINARY, "run", "--config", folder, "--admin", "%s:%d" % admin])
    soon(lambda: process.poll() is not None or reachable(admin, "/readyz"), "the gateway is ready", START_SECONDS)
    if process.poll() is not None:
        raise RuntimeError(f"the gateway ended with {process.returncode}")
    return gateway, admin


def words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z]+", text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
