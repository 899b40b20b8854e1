"""The example service as a server: `python sentiment_server.py [--port 8080]`.

`POST /judge` with `{"text": ..., "kind": "crypto" or "stock"}` classifies a text. `GET /live` succeeds as soon as the
process runs. `GET /ready` returns the model manager's status, with 503 until every model has answered once.
"""

# ruff: noqa: T201 - a program that prints to stdout

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sentiment_service import SentimentCollector

from modelenv import ModelEnvError

LONGEST_BODY = 64 * 1024
REQUEST_SECONDS = 30


@dataclass(frozen=True)
class Service:
    """The collector and its event loop.

    Attributes:
        collector: Classifies the texts.
        loop: The event loop of the main thread.
        warm: Set when every model has answered once.
    """

    collector: SentimentCollector
    loop: asyncio.AbstractEventLoop
    warm: threading.Event = field(default_factory=threading.Event)

    async def warm_up(self) -> None:
        """Call every model once, so that the first real request does not wait for a load.

        Raises:
            ModelEnvError: A model could not be loaded.
        """
        await self.collector.collect(["warm up"], "crypto")
        await self.collector.collect(["warm up"], "stock")
        await self.collector.similarity("warm", "up")
        self.warm.set()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the loop. Called from a thread of the server."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(REQUEST_SECONDS)


class Handler(BaseHTTPRequestHandler):
    """Answers every request with JSON."""

    server: Server
    timeout = REQUEST_SECONDS

    def do_GET(self) -> None:
        """Answer the probes."""
        service = self.server.service
        if self.path == "/live":
            self._answer(HTTPStatus.OK, {"alive": True})
        elif self.path == "/ready":
            status = service.collector.models.status()
            is_ready = service.warm.is_set() and status.ready
            code = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(code, {**status.as_dict(), "ready": is_ready})
        else:
            self._answer(HTTPStatus.NOT_FOUND, {"error": "GET /live, GET /ready or POST /judge"})

    def do_POST(self) -> None:
        """Classify a text."""
        if self.path != "/judge":
            self._answer(HTTPStatus.NOT_FOUND, {"error": "GET /live, GET /ready or POST /judge"})
            return
        try:
            text, kind = self._question()
        except (ValueError, KeyError, TypeError):
            self._answer(HTTPStatus.BAD_REQUEST, {"error": 'expected {"text": "...", "kind": "crypto" or "stock"}'})
            return
        service = self.server.service
        try:
            [found] = service.run(service.collector.collect([text], kind))
        except (ModelEnvError, TimeoutError) as error:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": str(error)})
            return
        self._answer(HTTPStatus.OK, {"text": text, **found})

    def _question(self) -> tuple[str, Any]:
        length = int(self.headers.get("Content-Length", ""))
        if not 0 < length <= LONGEST_BODY:
            raise ValueError(length)
        question = json.loads(self.rfile.read(length))
        text, kind = question["text"], question.get("kind", "crypto")
        if not isinstance(text, str) or kind not in ("crypto", "stock"):
            raise ValueError(question)
        return text, kind

    def _answer(self, code: HTTPStatus, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log only failed requests, because of the frequent probes."""
        if code not in (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE):
            super().log_request(code, size)


class Server(ThreadingHTTPServer):
    """The HTTP server of a service."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], service: Service) -> None:
        self.service = service
        super().__init__(address, Handler)


async def serve(host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ModelEnvError: A model could not be loaded.
    """
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    service = Service(SentimentCollector(), loop)
    with Server((host, port), service) as server:
        print(f"serving at http://{host}:{server.server_address[1]}", flush=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stopping, warming = asyncio.create_task(stopped.wait()), asyncio.create_task(service.warm_up())
        await asyncio.wait({stopping, warming}, return_when=asyncio.FIRST_COMPLETED)
        if warming.done():
            warming.result()
            print("ready", flush=True)
        await stopping
        warming.cancel()
        server.shutdown()


def main() -> int:
    """Run the server. An error of modelenv ends it with its message and exit code 1."""
    parser = argparse.ArgumentParser(prog="sentiment_server")
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104 - must be reachable from outside the pod
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    try:
        asyncio.run(serve(arguments.host, arguments.port))
    except ModelEnvError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
