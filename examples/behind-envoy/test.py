#!/usr/bin/env python3
"""Sends requests through a real Envoy, with Pointsman as its body-based router and endpoint picker.

Takes the binary from POINTSMAN (default: target/debug/pointsman). Every port is a free one; everything stops at the end.
"""

import collections
import contextlib
import hashlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import unittest

import envoy

from clients import CHAT, JSON, Answer, Many, chat, send, send_http2
from processes import Address, free_port, get, metric, soon
from stack import ENVOY_ADMIN, EPP_ADMIN, EPP_HEALTH, EPP_METRICS, GATEWAY, HERE, MODEL_SERVERS, MODELS, PICKERS
from stack import Free, Stack
from upstream import Upstream

BINARY = pathlib.Path(os.environ.get("POINTSMAN") or HERE.parent.parent / "target" / "debug" / "pointsman")
REQUESTS = json.loads((HERE.parent / "two-models" / "requests.json").read_text())["requests"]
CHARTS = HERE.parent.parent / "charts" / "snapshots"  # charts/test holds them to what helm renders
SOON_UNDER_LOAD_SECONDS = 60

DESTINATION = "x-gateway-destination-endpoint"
ONE_ENDPOINT = """
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
- type: max-score-picker
  parameters: {maxNumOfEndpoints: 1}
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: queue-scorer
  - pluginRef: max-score-picker
"""
BUFFERING = ([], ["bbr"], ["bbr", "epp"])  # the filters that get the request's body whole
STREAMS = 2_000
LONG = 5_000    # tokens of an answer that must not end by itself while it is watched
CLIENTS = 16    # of the tests in which something fails
ROUTER = "body-based-routing"
SECOND_ROUTER = (9104, 9105, 9191)  # ports of ext_proc, health and metrics
HEALTH_TIMES = {"interval": "0.1s", "unhealthy_interval": "0.1s", "no_traffic_interval": "0.1s"}
RUNNING = "inference_objective_running_requests"


class Case(unittest.TestCase):
    """Parts that all tests of a class share; each Envoy in front of them is its own."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.parts = Stack(cls.enterClassContext(contextlib.ExitStack()), BINARY, Free())

    def envoy(self, change=lambda configuration: None) -> Address:
        """The gateway's address: an Envoy of the test's own, with envoy.yaml as `change` leaves it."""
        configuration = envoy.Configuration()
        change(configuration)
        ports = Free(self.parts.ports | {GATEWAY: free_port(), ENVOY_ADMIN: free_port()})
        front = Stack(self.enterContext(contextlib.ExitStack()), BINARY, ports)
        front.envoy(configuration)
        return front.address(GATEWAY)

    def attempts(self) -> collections.Counter:
        """Tries at an endpoint, by how they went."""
        page = get(self.parts.address(EPP_METRICS), "/metrics")
        found = re.findall(r'^pointsman_attempts_total\{outcome="(\w+)"\} (\d+)$', page, re.MULTILINE)
        return collections.Counter({outcome: int(count) for outcome, count in found})

    def running(self) -> float:
        """Requests that the endpoint pickers count as being at a model server."""
        return metric(self.parts.address(EPP_METRICS), RUNNING)


class Settings(unittest.TestCase):
    """envoy.yaml beside what the charts render for Istio; the picker's filter is Istio's own there."""

    def test_the_chart_for_istio_sets_the_same_filter(self) -> None:
        chart = next(envoy.found(for_istio("body-based-routing"), "typed_config"))
        here = envoy.Configuration().filter("bbr")
        for settings in (chart, here):
            del settings["grpc_service"]  # each its own name of the router
        self.assertEqual(here, chart)

    def test_the_charts_for_istio_lead_to_router_and_pickers_within_the_same_limits(self) -> None:
        for chart, names in {"body-based-routing": ["bbr"], "inferencepool": [f"{pool}-epp" for pool in PICKERS]}.items():
            policy = next(envoy.found(for_istio(chart), "trafficPolicy"))
            self.assertEqual(policy["tls"], {"mode": "SIMPLE", "insecureSkipVerify": True})
            limits = policy["connectionPool"]["http"]
            for name in names:
                with self.subTest(chart=chart, cluster=name):
                    cluster = envoy.Configuration().cluster(name)
                    tls = cluster["transport_socket"]["typed_config"]
                    self.assertEqual(set(tls), {"@type"}, "any certificate will do")
                    [thresholds] = cluster["circuit_breakers"]["thresholds"]
                    self.assertEqual(thresholds["max_requests"], limits["http2MaxRequests"])
                    self.assertEqual(thresholds["max_pending_requests"], limits["http1MaxPendingRequests"])


class SimulatedModelServers(Case):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.parts.model_servers()
        cls.parts.body_based_router()
        cls.parts.endpoint_pickers()

    def test_the_requests_of_two_models_are_answered_as_by_the_gateway(self) -> None:
        for buffering in BUFFERING:
            gateway = self.envoy(lambda configuration: buffer_in(buffering, configuration))
            for case in REQUESTS:
                with self.subTest(buffering=buffering, request=case["name"]):
                    self.check(case["expect"] | case.get("behind_envoy", {}), sent(gateway, case["request"]))

    def check(self, expect: dict, answer: Answer) -> None:
        self.assertEqual(answer.status, expect["status"], answer)
        self.assertEqual(self.pool(answer), expect["pool"])
        for header, start in expect.get("headers", {}).items():
            self.assertTrue(answer.headers.get(header, "").startswith(start), answer)
        if expect.get("stream"):
            self.assertTrue(answer.body.rstrip().endswith(b"data: [DONE]"), answer)
        for pointer, value in expect.get("fields", {}).items():
            self.assertIn("" if value == "*" else value, str(at(answer.json(), pointer)))

    def pool(self, answer: Answer) -> str | None:
        """The InferencePool whose endpoint answered."""
        _, _, port = answer.headers.get("x-pointsman-sim-endpoint", "").partition(":")
        owners = {self.parts.ports[port]: pool for pool, ports in MODEL_SERVERS.items() for port in ports}
        return owners[int(port)] if port else None

    def test_an_answer_carries_the_id_by_which_its_pick_is_explained(self) -> None:
        gateway = self.envoy()
        made = send(gateway, chat()).headers["x-request-id"]
        self.assert_explained(made)
        longest, too_long = "i" * 64, "i" * 65
        for given in ("of-the-client", longest):
            self.assertEqual(send(gateway, chat(), JSON | {"x-request-id": given}).headers["x-request-id"], given)
            self.assert_explained(given)
        replaced = send(gateway, chat(), JSON | {"x-request-id": too_long}).headers["x-request-id"]
        self.assertEqual(self.explain(too_long).returncode, 1)
        self.assert_explained(replaced)

    def assert_explained(self, id: str) -> None:
        soon(lambda: self.explain(id).returncode == 0, f"the picker can explain {id}")
        self.assertIn("backend   default/gemma3", self.explain(id).stdout)

    def explain(self, id: str) -> subprocess.CompletedProcess:
        admin = "%s:%d" % self.parts.address(EPP_ADMIN)
        return subprocess.run([BINARY, "explain", "--admin", admin, id], capture_output=True, text=True, check=False)

    def test_the_header_alone_names_the_endpoint_too(self) -> None:
        gateway = self.envoy(by_header)
        self.assertEqual({self.pool(send(gateway, chat(model))) for model in MODELS.values()}, set(MODELS))

    def test_a_picker_that_is_told_to_names_one_endpoint(self) -> None:
        replaced = (*PICKERS.values(), EPP_HEALTH, EPP_METRICS, EPP_ADMIN, GATEWAY, ENVOY_ADMIN)
        own = {port: free_port() for port in replaced}
        parts = Stack(self.enterContext(contextlib.ExitStack()), BINARY, Free(self.parts.ports | own))
        parts.endpoint_pickers("--config-text", ONE_ENDPOINT)
        configuration = envoy.Configuration()
        by_original_destination(configuration)
        parts.envoy(configuration)
        pools = {self.pool(send(parts.address(GATEWAY), chat(model))) for model in MODELS.values()}
        self.assertEqual(pools, set(MODELS))

    def test_a_client_that_hangs_up_in_a_stream_is_forgotten_by_all(self) -> None:
        gateway = self.envoy()
        body = chat(stream=True, max_tokens=LONG, ignore_eos=True)
        with posted(gateway, body) as connection:
            connection.makefile("rb").readline()
            soon(lambda: self.at_model_servers() == 1, "the model server works on the request")
            soon(lambda: self.running() == 1, "the picker counts the request")
        soon(lambda: self.at_model_servers() == 0, "the model server has stopped")
        soon(lambda: self.running() == 0, "the picker has released the request")

    def test_a_request_is_in_flight_while_its_answer_comes_if_the_picker_sees_the_bodys_end(self) -> None:
        for trailers, counted in {"SEND": 1, "SKIP": 0}.items():
            gateway = self.envoy(lambda configuration: show_no_answers(configuration, trailers))
            body = chat(stream=True, max_tokens=LONG, ignore_eos=True)
            with self.subTest(trailers=trailers), posted(gateway, body) as connection, connection.makefile("rb") as stream:
                while not stream.readline().startswith(b"data:"):
                    pass
                soon(lambda: self.running() == counted, f"the picker counts {counted}")
                self.assertEqual((self.at_model_servers(), self.running()), (1, counted))
            soon(lambda: self.at_model_servers() == 0 == self.running(), "all is over")

    def at_model_servers(self) -> float:
        addresses = [self.parts.address(port) for port in MODEL_SERVERS["gemma3"]]
        return sum(metric(address, "vllm:num_requests_running") for address in addresses)


class Recorded(Case):
    """The endpoints are servers of this test's own, which tell what reached them; one of deepseek-r1 is not there."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        present = MODEL_SERVERS["gemma3"] + MODEL_SERVERS["deepseek-r1"][1:]
        cls.upstream = Upstream(cls.parts.stack, len(present))
        cls.parts.ports.update(zip(present, cls.upstream.ports))
        cls.processors = {}
        cls.start("bbr")
        cls.start("epp")

    @classmethod
    def start(cls, name: str) -> None:
        starters = {"bbr": cls.parts.body_based_router, "epp": cls.parts.endpoint_pickers}
        cls.processors[name] = starters[name]()

    def second_router(self, *flags: str) -> subprocess.Popen:
        ports = self.parts.port_flags(*SECOND_ROUTER)
        return self.parts.run("bbr", *ports, *flags, ready=self.parts.address(SECOND_ROUTER[2]))

    def assert_arrived(self, body: bytes, answer: Answer) -> dict:
        """What the model server tells of the request, whose body it got unchanged."""
        self.assertEqual(answer.status, 200, answer)
        told = answer.json()
        self.assertEqual(told["sha256"], hashlib.sha256(body).hexdigest())
        self.assertIn(told["headers"].get("content-length"), (None, str(len(body))))
        return told


class RecordingModelServers(Recorded):
    def test_a_prompt_of_1_mb_arrives_byte_for_byte(self) -> None:
        body = b' {"x":1.0, "n":12345678901234567890,"prompt":"\\u00e9<&>' + b"Gr\xc3\xb6\xc3\x9fe " * 130_000 + b'", "model" : "chatbot"}\n'
        for buffering in BUFFERING:
            gateway = self.envoy(lambda configuration: buffer_in(buffering, configuration))
            for client in (send, send_http2):
                with self.subTest(buffering=buffering, client=client.__name__):
                    self.assert_arrived(body, client(gateway, body))

    def test_what_breaks_far_behind_the_model_is_refused_all_the_same(self) -> None:
        for change in (lambda configuration: None, without_pickers):
            gateway = self.envoy(change)
            for end in (b'"x"', b'"x","model":"chatbot"}'):
                body = b'{"model":"chatbot","prompt":"' + b"y" * 300_000 + b'","user":' + end
                for client in (send, send_http2):
                    with self.subTest(change=change.__name__, end=end, client=client.__name__):
                        answer = client(gateway, body)
                        self.assertEqual(answer.status, 400, answer)
                        self.assertEqual(answer.headers["content-type"], "application/json")
                        self.assertIn("message", answer.json()["error"])

    def test_trailers_arrive_behind_the_body(self) -> None:
        gateway = self.envoy(pass_trailers)
        for body in (chat(), chat(x="y" * 100_000)):
            told = self.assert_arrived(body, send_http2(gateway, body, {"x-checksum": "7"}))
            self.assertEqual(told["trailers"], {"x-checksum": "7"})

    def test_trailers_arrive_behind_a_body_in_which_a_picker_that_got_it_whole_writes_another_model(self) -> None:
        gateway = self.envoy(lambda configuration: (pass_trailers(configuration), buffer_in(["epp"], configuration)))
        headers = JSON | {"x-gateway-model-name-rewrite": "tuned"}
        told = self.assert_arrived(chat("tuned"), send_http2(gateway, chat(), {"x-checksum": "7"}, headers))
        self.assertEqual(told["trailers"], {"x-checksum": "7"})

    def test_an_upgrade_passes_both_ways_and_is_in_flight_as_long_as_it_lasts(self) -> None:
        with socket.create_connection(self.envoy(upgrade)) as connection, connection.makefile("rb") as answer:
            connection.settimeout(SOON_UNDER_LOAD_SECONDS)
            connection.sendall(b"GET /v1/realtime HTTP/1.1\r\nhost: gateway\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            self.assertEqual(answer.readline().split()[1], b"101")
            while answer.readline().strip():
                pass
            for word in (b"first", b"second"):
                connection.sendall(word)
                self.assertEqual(answer.read(len(word)), word)
            soon(lambda: self.running() == 1, "the picker counts it")
        soon(lambda: self.running() == 0, "the picker has released it")

    def test_an_answer_of_envoys_own_says_nothing_of_an_endpoint(self) -> None:
        for change in (lambda configuration: None, without_code_details):
            gateway = self.envoy(lambda configuration: (change(configuration), limit_to_two(configuration)))
            before = self.attempts()
            with self.subTest(change=change.__name__), self.upstream.held(), posted(gateway, chat()), posted(gateway, chat()):
                soon(lambda: self.upstream.waiting == 2, "two are at a model server")
                for _ in range(24):
                    answer = send(gateway, chat())
                    self.assertEqual((answer.status, answer.headers.get("x-envoy-overloaded")), (503, "true"))
            soon(lambda: self.running() == 0, "the picker counts nothing")
            soon(lambda: self.attempts() - before == {"local_reply": 24, "cancelled": 2}, "they are booked on nobody")
            gateway = self.envoy(lambda configuration: (change(configuration), forbid(configuration)))
            before = self.attempts()
            self.assertEqual(send(gateway, chat()).status, 403)
            soon(lambda: self.attempts() - before == {"local_reply": 1}, "it is booked on nobody")
        self.assertEqual(metric(self.parts.address(EPP_METRICS), "pointsman_endpoint_ejections_total"), 0)

    def test_a_client_chooses_neither_model_nor_endpoint(self) -> None:
        steering = {"x-gateway-model-name": "recommender", DESTINATION: "127.0.0.1:1"}
        for change in (lambda configuration: None, believe_the_client):
            gateway = self.envoy(change)
            for _ in range(6):
                headers = send(gateway, chat(), JSON | steering).json()["headers"]
                self.assertEqual(headers["x-gateway-model-name"], "chatbot")
                self.assertNotIn("127.0.0.1:1", headers[DESTINATION].split(","))

    def test_fields_that_the_router_was_asked_for_arrive_as_headers_and_only_from_the_body(self) -> None:
        plugin = "--plugin=body-field-to-header:{field}:" + '{{"fieldName":"{field}","headerName":"{header}"}}'
        named = {"user": "X-User", "service_tier": "X-Tier"}
        self.second_router(*(plugin.format(field=field, header=header) for field, header in named.items()))
        liar = JSON | {"x-user": "liar", "x-tier": "liar", "x_tier": "liar"}
        for buffering in BUFFERING:
            gateway = self.envoy(lambda configuration: (buffer_in(buffering, configuration), only_second_router(configuration)))
            for body, user, tier in (
                (chat(user="ann"), "ann", None),
                (chat(service_tier=2, x="y" * 100_000, user="grün"), "grün".encode().decode("latin-1"), "2"),  # as Python reads headers
                (chat(user=None, service_tier=["a"]), None, None),
            ):
                with self.subTest(buffering=buffering, user=user, tier=tier):
                    headers = self.assert_arrived(body, send(gateway, body, liar))["headers"]
                    self.assertEqual((user, tier), (headers.get("x-user"), headers.get("x-tier")))
                    self.assertNotIn("liar", headers.values())

    def test_a_subset_hint_is_obeyed(self) -> None:
        for port in (self.parts.ports[port] for port in MODEL_SERVERS["gemma3"]):
            gateway = self.envoy(lambda configuration: hint(configuration, [f"127.0.0.1:{port}"]))
            for _ in range(4):
                self.assertEqual(send(gateway, chat()).json()["headers"][DESTINATION], f"127.0.0.1:{port}")
        for nowhere in ([], ["127.0.0.1:1"]):
            gateway = self.envoy(lambda configuration: hint(configuration, nowhere))
            self.assertEqual(send(gateway, chat()).status, 503)

    def test_a_request_without_a_body_is_picked_for(self) -> None:
        gateway = self.envoy(route_by_path)
        told = send(gateway, b"", {}, "GET", "/v1/models").json()
        self.assertIn(DESTINATION, told["headers"])

    def test_2000_streams_are_held_at_once(self) -> None:
        gateway = self.envoy()
        with self.upstream.held(), Many(gateway, STREAMS, forever=False) as clients:
            soon(lambda: self.upstream.waiting == STREAMS, "all are at a model server", SOON_UNDER_LOAD_SECONDS)
            soon(lambda: self.running() == STREAMS, "the picker counts them")
            self.upstream.release()
        report("2,000 streams at once", clients)
        self.assertEqual(clients.outcomes, {200: STREAMS})
        soon(lambda: self.running() == 0, "the picker has released them")

    def test_a_client_that_hangs_up_before_the_answer_is_forgotten_by_all(self) -> None:
        gateway, left = self.envoy(), self.upstream.left
        with self.upstream.held():
            with posted(gateway, chat()):
                soon(lambda: self.upstream.waiting == 1, "the request is at a model server")
                soon(lambda: self.running() == 1, "the picker counts the request")
            soon(lambda: self.upstream.left == left + 1, "the model server sees the client go")
            soon(lambda: self.running() == 0, "the picker has released the request")

    def test_a_client_that_hangs_up_in_its_body_leaves_nothing(self) -> None:
        gateway = self.envoy()
        with posted(gateway, chat(), missing=1_000):
            pass
        self.assert_arrived(chat(), send(gateway, chat()))
        soon(lambda: self.running() == 0, "the picker counts nothing")

    def test_a_request_that_the_gateway_answers_itself_while_the_picker_waits_is_over(self) -> None:
        gateway = self.envoy(impatient)
        with posted(gateway, chat(), missing=1_000) as connection, connection.makefile("rb") as answer:
            self.assertEqual(answer.readline().split()[1], b"408", "Envoy's own, not the 500 of a breach of the protocol")
        self.assert_arrived(chat(), send(gateway, chat()))
        soon(lambda: self.running() == 0, "the picker counts nothing")


class Failures(Recorded):
    def test_a_picker_that_is_killed_under_load_fails_closed(self) -> None:
        self.assert_fails_closed("epp")

    def test_a_router_that_is_killed_under_load_fails_closed(self) -> None:
        self.assert_fails_closed("bbr")

    def assert_fails_closed(self, name: str) -> None:
        with Many(self.envoy(), CLIENTS, forever=True) as clients:
            self.assert_well(clients)
            self.kill(name)
            self.some_end(clients)
            self.start(name)
            self.until_well(clients)
        self.tell(f"{name} killed and restarted, failing closed", clients)
        lost = set(clients.outcomes) - {200}
        self.assertTrue(lost and lost <= {500, 503, 504}, lost)

    def test_a_picker_that_is_killed_under_load_fails_open(self) -> None:
        self.assert_fails_open(health_checked)

    def test_a_picker_that_is_killed_under_load_fails_open_as_the_chart_for_istio_has_it(self) -> None:
        self.assert_fails_open(outliers_detected)

    def assert_fails_open(self, change) -> None:
        with Many(self.envoy(change), CLIENTS, forever=True) as clients:
            self.assert_well(clients)
            self.kill("epp")
            self.until_well(clients)
            before = clients.outcomes.copy()
            self.start("epp")
            self.some_end(clients)
            self.assertLessEqual((clients.outcomes - before).total() - (clients.outcomes - before)[200], CLIENTS)
            asked = lambda: metric(self.parts.address(EPP_METRICS), "inference_objective_request_total") > 0
            soon(asked, "the picker is asked again", SOON_UNDER_LOAD_SECONDS)
        self.tell(f"epp killed and restarted, failing open, {change.__name__}", clients)

    def test_one_of_two_routers_that_is_killed_costs_few_requests_as_the_chart_for_istio_has_it(self) -> None:
        second = self.second_router()
        knowing = as_istio_detects(ROUTER)
        with Many(self.envoy(lambda configuration: two_routers(configuration, knowing)), CLIENTS, forever=True) as clients:
            self.assert_well(clients)
            second.kill()
            second.wait()
            self.until_well(clients)
        self.tell("one of two bbr killed, failing closed", clients)
        self.assertLess(clients.outcomes.total() - clients.outcomes[200], 4 * CLIENTS)

    def test_a_router_that_is_alone_and_comes_back_is_asked_at_once_as_the_chart_for_istio_has_it(self) -> None:
        with Many(self.envoy(ejected_for_long), CLIENTS, forever=True) as clients:
            self.assert_well(clients)
            self.kill("bbr")
            self.some_end(clients)
            self.start("bbr")
            self.until_well(clients)
        self.tell("the only bbr killed and restarted, failing closed", clients)

    def test_one_of_two_routers_that_is_told_to_stop_costs_nothing(self) -> None:
        second = self.second_router("--lame-duck", "2s")
        with Many(self.envoy(lambda configuration: two_routers(configuration, health_checks())), CLIENTS, forever=True) as clients:
            self.assert_well(clients)
            second.terminate()
            second.wait()
            self.assert_well(clients)
        self.tell("one of two bbr told to stop", clients)
        self.assertEqual({200}, set(clients.outcomes))

    def kill(self, name: str) -> None:
        process = self.processors[name]
        process.kill()
        process.wait()

    def until_well(self, clients: Many) -> None:
        after = clients.outcomes[200]
        soon(lambda: clients.outcomes[200] > after + CLIENTS, "requests are answered", SOON_UNDER_LOAD_SECONDS)
        self.assert_well(clients)

    def assert_well(self, clients: Many) -> None:
        """Every client's next requests are answered."""
        before = clients.outcomes.copy()
        self.some_end(clients)
        self.assertEqual(set(clients.outcomes - before), {200})

    def some_end(self, clients: Many) -> None:
        enough = clients.outcomes.total() + 8 * CLIENTS
        soon(lambda: clients.outcomes.total() > enough, "requests end", SOON_UNDER_LOAD_SECONDS)

    def tell(self, what: str, clients: Many) -> None:
        report(what, clients)
        soon(lambda: self.running() == 0, "the picker has released what it held")

    def test_an_endpoint_that_envoy_cannot_reach_is_to_blame_for_its_answer(self) -> None:
        for change, outcome in {without_retries: "broken", without_retries_and_details: "server_error"}.items():
            gateway = self.envoy(change)
            self.forget()
            self.assertIn(503, (send(gateway, chat("recommender")).status for _ in range(100)))
            soon(lambda: self.attempts()[outcome] == 1, f"it is booked as {outcome}")

    def forget(self) -> None:
        """A new picker, which knows nothing of the endpoint that is not there."""
        self.kill("epp")
        self.start("epp")

    def test_a_retry_goes_to_the_next_endpoint_that_was_picked(self) -> None:
        gateway = self.envoy()
        self.forget()
        absent = f"127.0.0.1:{self.parts.ports[MODEL_SERVERS['deepseek-r1'][0]]}"
        first = lambda: send(gateway, chat("recommender")).json()["headers"][DESTINATION].split(",")[0]
        self.assertIn(absent, (first() for _ in range(100)), "each request is answered, and one was meant for it")


def buffer_in(names: list[str], configuration: envoy.Configuration) -> None:
    """These filters get the request's body whole; Envoy holds one of up to 32 MiB for them."""
    for name in names:
        configuration.filter(name)["message_timeout"] = "10s"
        settings = configuration.picked() if name == "epp" else [configuration.filter(name)]
        for each in settings:
            each["processing_mode"]["request_body_mode"] = "BUFFERED"
    configuration.listener["per_connection_buffer_limit_bytes"] = 32 << 20


def show_no_answers(configuration: envoy.Configuration, trailers: str) -> None:
    """The picker sees the head of an answer only, and its trailers if there are any and `trailers` says so."""
    for overrides in configuration.picked():
        overrides["processing_mode"] |= {"response_body_mode": "NONE", "response_trailer_mode": trailers}


def without_code_details(configuration: envoy.Configuration) -> None:
    del configuration.filter("epp")["response_attributes"]


def limit_to_two(configuration: envoy.Configuration) -> None:
    configuration.cluster("gemma3")["circuit_breakers"] = {"thresholds": [{"max_requests": 2}]}


def forbid(configuration: envoy.Configuration) -> None:
    """A filter behind the picker refuses everything."""
    kind = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
    everything = {"permissions": [{"any": True}], "principals": [{"any": True}]}
    rules = {"action": "DENY", "policies": {"all": everything}}
    configuration.filters.insert(-1, {"name": "rbac", "typed_config": {"@type": kind, "rules": rules}})


def upgrade(configuration: envoy.Configuration) -> None:
    """WebSockets of any model pass, on their own path."""
    configuration.manager["upgrade_configs"] = [{"upgrade_type": "websocket"}]
    configuration.routes[0]["match"] = {"prefix": "/v1/realtime"}


def without_retries(configuration: envoy.Configuration) -> None:
    for route in configuration.routes:
        del route["route"]["retry_policy"]


def without_retries_and_details(configuration: envoy.Configuration) -> None:
    without_retries(configuration)
    without_code_details(configuration)


def pass_trailers(configuration: envoy.Configuration) -> None:
    """Over HTTP/1.1 too, as the recording model servers speak it; without retries, with which Envoy 1.40 sends a body twice
    that an external processor streamed and trailers follow."""
    without_retries(configuration)
    protocol = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    options = {"http_protocol_options": {"enable_trailers": True}}
    configuration.cluster("gemma3")["typed_extension_protocol_options"] = {
        protocol: {"@type": f"type.googleapis.com/{protocol}", "explicit_http_config": options}
    }


def believe_the_client(configuration: envoy.Configuration) -> None:
    """Without Envoy's own removal of what steers; the endpoint is taken from the header."""
    del configuration.manager["early_header_mutation_extensions"]
    by_header(configuration)


def by_header(configuration: envoy.Configuration) -> None:
    for pool in MODELS:
        policy = configuration.cluster(pool)["load_balancing_policy"]["policies"][0]["typed_extension_config"]
        policy["typed_config"]["override_host_sources"] = [{"header": DESTINATION}]


def by_original_destination(configuration: envoy.Configuration) -> None:
    """The cluster knows no endpoint, and takes the one address that the header has."""
    for pool in MODELS:
        cluster = configuration.cluster(pool)
        del cluster["load_balancing_policy"], cluster["load_assignment"]
        by = {"use_http_header": True, "http_header_name": DESTINATION}
        cluster |= {"type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "original_dst_lb_config": by}


def without_pickers(configuration: envoy.Configuration) -> None:
    """The body streams through: a picker would hold it until it is whole."""
    for route in configuration.routes:
        del route["typed_per_filter_config"]


def hint(configuration: envoy.Configuration, endpoints: list[str]) -> None:
    """Tells the pickers to choose among these."""
    subset = {"metadata_namespace": "envoy.lb.subset_hint", "value": {f"{DESTINATION}-subset": endpoints}}
    kind = "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config"
    configuration.filters.insert(0, {"name": "hint", "typed_config": {"@type": kind, "metadata": [subset]}})


def impatient(configuration: envoy.Configuration) -> None:
    """With a limit of its own for a request to come whole."""
    configuration.manager["request_timeout"] = "0.5s"


def route_by_path(configuration: envoy.Configuration) -> None:
    configuration.routes[0]["match"] = {"prefix": "/v1/models"}


def fail_open(configuration: envoy.Configuration, knowing: dict) -> None:
    """A picker that is away is passed over. For a request with a body Envoy does so only if it knows that before it has
    begun to stream the body: `knowing` is by what."""
    for overrides in configuration.picked():
        overrides["failure_mode_allow"] = True
    for pool in MODELS:
        cluster = configuration.cluster(f"{pool}-epp")
        cluster |= knowing


def health_checked(configuration: envoy.Configuration) -> None:
    fail_open(configuration, health_checks())


def outliers_detected(configuration: envoy.Configuration) -> None:
    fail_open(configuration, as_istio_detects("inferencepool"))


def ejected_for_long(configuration: envoy.Configuration) -> None:
    """Who is passed over stays so for longer than a test takes, unless nobody is left."""
    cluster = configuration.cluster("bbr")
    cluster |= as_istio_detects(ROUTER)
    cluster["outlier_detection"]["base_ejection_time"] = "300s"


def health_checks() -> dict:
    """Those of envoy.yaml, more often: by these Envoy knows who is gone, and asks nobody who is."""
    [check] = envoy.Configuration().cluster("bbr")["health_checks"]
    return {"health_checks": [check | HEALTH_TIMES]} | asking_the_gone_below(0)


def asking_the_gone_below(percent: int) -> dict:
    """Where fewer of a cluster are well, all of them are asked."""
    return {"common_lb_config": {"healthy_panic_threshold": {"value": percent}}}


def as_istio_detects(name: str) -> dict:
    """As Istio tells Envoy what the chart of this name says."""
    chart = next(envoy.found(for_istio(name), "outlierDetection"))
    detection = {
        "split_external_local_origin_errors": chart["splitExternalLocalOriginErrors"],
        "consecutive_local_origin_failure": chart["consecutiveLocalOriginFailures"],
        "enforcing_consecutive_local_origin_failure": 100,
        "enforcing_consecutive_5xx": chart["consecutive5xxErrors"],  # 0 means none
        "enforcing_success_rate": 0,
        "interval": chart["interval"],
        "base_ejection_time": chart["baseEjectionTime"],
        "max_ejection_percent": chart["maxEjectionPercent"],
    }
    return {"outlier_detection": detection, "health_checks": []} | asking_the_gone_below(chart["minHealthPercent"])


def two_routers(configuration: envoy.Configuration, knowing: dict) -> None:
    """A second router beside the first; `knowing` is by what Envoy knows that one is gone."""
    cluster = configuration.cluster("bbr")
    cluster |= knowing
    address = {"socket_address": {"address": "127.0.0.1", "port_value": SECOND_ROUTER[0]}}
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"].append({"endpoint": {"address": address}})


def only_second_router(configuration: envoy.Configuration) -> None:
    two_routers(configuration, {})
    del configuration.cluster("bbr")["load_assignment"]["endpoints"][0]["lb_endpoints"][0]


def for_istio(chart: str) -> list:
    """What a chart renders for Istio."""
    return envoy.parsed((CHARTS / chart / "istio.yaml").read_text())


def sent(gateway: Address, request: dict) -> Answer:
    """As requests.json says it: an object as compact JSON, a string byte for byte."""
    body = request["body"]
    text = body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))
    return send(gateway, text.encode(), request["headers"], request["method"], request["path"])


def at(tree: object, pointer: str) -> object:
    """What stands at a JSON pointer."""
    for step in pointer.split("/")[1:]:
        tree = tree[int(step) if isinstance(tree, list) else step]
    return tree


@contextlib.contextmanager
def posted(gateway: Address, body: bytes, missing: int = 0):
    """A connection on which a request was sent, the last `missing` bytes of its body excepted; hangs up at the end."""
    head = f"POST {CHAT} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
    with socket.create_connection(gateway) as connection:
        connection.sendall(f"{head}content-length: {len(body) + missing}\r\n\r\n".encode() + body)
        yield connection


def report(what: str, clients: Many) -> None:
    counts = ", ".join(f"{count} × {outcome}" for outcome, count in sorted(clients.outcomes.items(), key=str))
    print(f"{what}: {counts}", file=sys.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
