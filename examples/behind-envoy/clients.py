"""Clients of the gateway: one request over HTTP/1.1 or HTTP/2, or many at the same time."""

import asyncio
import collections
import contextlib
import dataclasses
import http.client
import json
import pathlib
import socket
import sys
import threading

import envoy
import pypi

from processes import Address

ANSWER_SECONDS = 60  # a slow machine under load
READ_BYTES = 1 << 16
CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}


@dataclasses.dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict:
        return json.loads(self.body)


def chat(model: str = "chatbot", **more: object) -> bytes:
    message = {"role": "user", "content": "What is the color of the sky?"}
    return json.dumps({"model": model, "messages": [message], "max_tokens": 8} | more).encode()


def send(address: Address, body: bytes, headers: dict[str, str] = JSON, method: str = "POST", path: str = CHAT) -> Answer:
    """Over HTTP/1.1."""
    with contextlib.closing(http.client.HTTPConnection(*address, timeout=ANSWER_SECONDS)) as connection:
        connection.request(method, path, body or None, headers)
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def send_http2(
    address: Address, body: bytes, trailers: dict[str, str] | None = None, headers: dict[str, str] = JSON
) -> Answer:
    """Over HTTP/2 with prior knowledge, the body in several frames."""
    sys.path.insert(0, str(pypi.installed("h2==4.3.0")))
    import h2.connection

    connection = h2.connection.H2Connection()
    connection.initiate_connection()
    head = {":method": "POST", ":scheme": "http", ":authority": "gateway", ":path": CHAT} | headers
    stream = connection.get_next_available_stream_id()
    connection.send_headers(stream, list(head.items()))
    answer, ended = Answer(0, {}, b""), False
    with socket.create_connection(address, timeout=ANSWER_SECONDS) as peer:
        while not ended:
            while body and (room := min(connection.local_flow_control_window(stream), connection.max_outbound_frame_size)):
                part, body = body[:room], body[room:]
                connection.send_data(stream, part, end_stream=not body and not trailers)
                if not body and trailers:
                    connection.send_headers(stream, list(trailers.items()), end_stream=True)
            peer.sendall(connection.data_to_send())
            received = peer.recv(READ_BYTES)
            if not received:
                raise ConnectionResetError("the gateway closed the connection")
            for event in connection.receive_data(received):
                ended |= take(event, answer, connection)
    return answer


def take(event: object, answer: Answer, connection: object) -> bool:
    """Whether the answer is whole with this event."""
    kind = type(event).__name__
    if kind == "ResponseReceived":
        answer.headers = {name.decode(): value.decode() for name, value in event.headers}
        answer.status = int(answer.headers.pop(":status"))
    elif kind == "DataReceived":
        answer.body += event.data
        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
    elif kind == "StreamReset":
        raise ConnectionResetError(f"the gateway reset the stream: {event.error_code}")
    return kind == "StreamEnded"


class Many:
    """Requests of many clients at the same time, on a thread of their own; what came of them is counted."""

    def __init__(self, address: Address, clients: int, forever: bool) -> None:
        self.address, self.clients, self.forever = address, clients, forever
        self.outcomes: collections.Counter = collections.Counter()  # by status, or by what went wrong
        self.thread = threading.Thread(target=lambda: asyncio.run(self.all()))

    def __enter__(self) -> "Many":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.forever = False
        self.thread.join()

    async def all(self) -> None:
        await asyncio.gather(*(self.client() for _ in range(self.clients)))

    async def client(self) -> None:
        while True:
            try:
                self.outcomes[await asyncio.wait_for(self.one(), ANSWER_SECONDS)] += 1
            except (OSError, EOFError, TimeoutError) as error:
                self.outcomes[type(error).__name__] += 1
            if not self.forever:
                return

    async def one(self) -> int:
        """The status of the answer, which is read whole."""
        reader, writer = await asyncio.open_connection(*self.address)
        body = chat()
        head = f"POST {CHAT} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\nconnection: close\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        try:
            status = int((await reader.readuntil(b"\r\n")).split()[1])
            await reader.read()
            return status
        finally:
            writer.close()
