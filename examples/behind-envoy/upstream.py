"""A model server without a model, which tells what reached it: for what the simulated ones keep to themselves."""

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import threading

METRICS = (
    "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running 0\n"
    "# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting 0\n"
    "# TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc 0\n"
)
BACKLOG = 4_096  # connections that come at the same moment
READ_BYTES = 1 << 16


@dataclasses.dataclass
class Request:
    line: str
    headers: dict[str, str]
    body: bytes = b""
    trailers: dict[str, str] = dataclasses.field(default_factory=dict)

    def told(self) -> bytes:
        """The answer: what arrived."""
        digest = hashlib.sha256(self.body).hexdigest()
        told = {"line": self.line, "headers": self.headers, "trailers": self.trailers, "sha256": digest}
        return json.dumps(told).encode()


class Upstream:
    """Several servers on free ports, on a thread of their own. While `held`, they answer nobody. To a WebSocket they say
    every word back."""

    def __init__(self, stack: contextlib.ExitStack, count: int) -> None:
        self.ports: list[int] = []
        self.waiting = 0    # requests that have arrived whole and are not answered
        self.left = 0       # those whose client went away meanwhile
        self.loop = asyncio.new_event_loop()
        self.open = asyncio.Event()
        self.open.set()
        self.stopped = asyncio.Event()
        ready = threading.Event()
        thread = threading.Thread(target=self.loop.run_until_complete, args=[self.serve(count, ready)])
        thread.start()
        stack.callback(thread.join)
        stack.callback(self.loop.call_soon_threadsafe, self.stopped.set)
        ready.wait()

    @contextlib.contextmanager
    def held(self):
        self.loop.call_soon_threadsafe(self.open.clear)
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        self.loop.call_soon_threadsafe(self.open.set)

    async def serve(self, count: int, ready: threading.Event) -> None:
        servers = [await asyncio.start_server(self.connection, "127.0.0.1", 0, backlog=BACKLOG) for _ in range(count)]
        self.ports = [server.sockets[0].getsockname()[1] for server in servers]
        ready.set()
        await self.stopped.wait()
        for server in servers:
            server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            while True:
                request = await read_request(reader)
                if request.line.startswith("GET /metrics "):
                    answer(writer, METRICS.encode(), "text/plain")
                elif request.headers.get("upgrade") == "websocket":
                    await echo(reader, writer)
                    break
                elif await self.may_answer(reader):
                    answer(writer, request.told(), "application/json")
                else:
                    break
        writer.close()

    async def may_answer(self, reader: asyncio.StreamReader) -> bool:
        """Waits until it may; no, if the client goes away before."""
        self.waiting += 1
        opened = asyncio.ensure_future(self.open.wait())
        gone = asyncio.ensure_future(reader.read(1))
        try:
            done, _ = await asyncio.wait({opened, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.waiting -= 1
            opened.cancel()
            gone.cancel()
            await asyncio.wait({gone})  # only then may another read begin
        self.left += opened not in done
        return opened in done


async def read_request(reader: asyncio.StreamReader) -> Request:
    line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    request = Request(line, fields(lines))
    if request.headers.get("transfer-encoding") == "chunked":
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            request.body += (await reader.readexactly(size + 2))[:-2]
        trailers = []
        while (trailer := (await reader.readuntil(b"\r\n")).decode("latin-1").strip()):
            trailers.append(trailer)
        request.trailers = fields(trailers)
    else:
        request.body = await reader.readexactly(int(request.headers.get("content-length", 0)))
    return request


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
    while word := await reader.read(READ_BYTES):
        writer.write(word)


def fields(lines: list[str]) -> dict[str, str]:
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def answer(writer: asyncio.StreamWriter, body: bytes, content_type: str) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
