"""uvicorn on a background thread. Several servers can share a thread. Other threads start and stop them quickly."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from modelenv.forks import at_fork
from modelenv.hub.faults.effects import reset
from modelenv.hub.http.middleware import TRANSPORT

if TYPE_CHECKING:
    from asyncio.trsock import TransportSocket
    from collections.abc import Iterator, Sequence

    from starlette.types import ASGIApp

# When a server stops, tasks that have not noticed the loss of their connection are cancelled after this time.
_GRACE_SECONDS = 1
# Iterations of the event loop from accepting a connection to `connection_made`: accept, create the transport, call
# the protocol (asyncio.selector_events).
_TURNS = 3


class ServerThread:
    """An event loop on a daemon thread, for any number of servers. It runs until `stop`."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="modelenv-hub", daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """Stop the loop and all remaining servers. Returns whether that took less than `seconds`."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:  # cancels remaining tasks at the end
            runner.get_loop().run_forever()


class BackgroundServer:
    """Serves `app` on bound sockets, on a server thread. `start` and `stop` can each be called once."""

    def __init__(self, app: ASGIApp, listeners: Sequence[socket.socket], thread: ServerThread) -> None:
        # No lifespan, no websockets, and no change to the logging of the user's program.
        config = uvicorn.Config(
            app,
            interface="asgi3",
            loop="asyncio",
            http=_Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            backlog=1024,
            timeout_keep_alive=60,
        )
        self._listeners = list(listeners)
        self._loop = thread.loop
        self._ready = threading.Event()
        self._server = _Server(config, self._ready)
        self._serving: Future[None] | None = None
        at_fork(self, BackgroundServer._let_go)

    def _let_go(self) -> None:
        """Called in a forked child: close the child's copies of the sockets that the parent serves.

        Their file descriptors stay in use, because objects of the parent's thread still hold them.
        """
        nowhere = os.open(os.devnull, os.O_RDWR)
        for listener in (*self._listeners, *self._server.sockets()):
            if listener.fileno() >= 0:
                os.dup2(nowhere, listener.fileno(), inheritable=False)
        os.close(nowhere)

    def start(self, seconds: float) -> bool:
        """Start serving. Returns whether the server was ready within `seconds`."""
        self._serving = asyncio.run_coroutine_threadsafe(self._serve(), self._loop)
        return self._ready.wait(seconds) and self._server.started

    def stop(self, seconds: float) -> bool:
        """Close the sockets and abort all connections. Returns whether that took less than `seconds`."""
        if self._serving is None or self._loop.is_closed():
            return True
        self._loop.call_soon_threadsafe(self._server.leave)
        return not wait([self._serving], seconds).not_done

    def refuse(self, seconds: float) -> None:
        """Reset all connections, and refuse new ones for `seconds`. Must be called on the server's thread."""
        self._server.refuse(seconds)

    async def _serve(self) -> None:
        try:
            await self._server.serve(sockets=self._listeners)
        finally:
            await self._server.shutdown()  # a second time, unless the thread ended before the server
            for listener in self._listeners:
                listener.close()
            self._ready.set()


class _Connection(H11Protocol):
    """A connection that passes its transport to the application, which can abort it to simulate a fault."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.app_state = {**self.app_state, TRANSPORT: transport}
        super().connection_made(transport)


class _Server(uvicorn.Server):
    """A uvicorn server that sets an event when it has started, and does not wait for slow clients when it stops."""

    def __init__(self, config: uvicorn.Config, ready: threading.Event) -> None:
        super().__init__(config)
        self._ready = ready
        self.servers: list[asyncio.base_events.Server] = []  # `shutdown` needs it even before `startup`
        self._stopping = asyncio.Event()
        self._reopening: asyncio.Task[None] | None = None

    def sockets(self) -> Iterator[socket.socket | TransportSocket]:
        """Yield what it listens on, and its connections."""
        for server in self.servers:
            yield from server.sockets
        for connection in list(self.server_state.connections):
            yield connection.transport.get_extra_info("socket")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready.set()

    async def main_loop(self) -> None:
        # uvicorn checks every 0.1 s whether to stop; this notices it at once. The tick updates the Date header.
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), timeout=1)

    def refuse(self, seconds: float) -> None:
        """Reset all connections, and refuse new ones for `seconds`. Does nothing if it is already refusing."""
        if not self.should_exit and self._reopening is None:
            self._reopening = asyncio.ensure_future(self._refuse_and_reopen(seconds))

    async def _refuse_and_reopen(self, seconds: float) -> None:
        addresses = [
            (listener.family, listener.getsockname()) for server in self.servers for listener in server.sockets
        ]
        listeners: list[socket.socket] = []
        try:
            await self._close_listeners()
            # Bind the ports again without listening: they stay ours, and connections to them are refused.
            listeners += [_bound(family, address) for family, address in addresses]
            for connection in list(self.server_state.connections):
                reset(connection.transport)
            await asyncio.sleep(seconds)
            await super().startup(listeners)
        except asyncio.CancelledError:
            for listener in listeners:
                listener.close()
            raise
        finally:
            self._reopening = None

    def leave(self) -> None:
        """Begin to stop. Must be called on the server's thread."""
        self.should_exit = True
        self._stopping.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Abort all connections. Does nothing the second time."""
        if self._reopening is not None:
            self._reopening.cancel()
            await asyncio.wait({self._reopening})
        await self._close_listeners()
        for connection in list(self.server_state.connections):
            # A plain close would wait until a slow client has read the buffered data.
            connection.transport.abort()
        # uvicorn would give connections time to finish. Here they are aborted, and only their tasks have to end.
        if self.server_state.tasks:
            await asyncio.wait(set(self.server_state.tasks), timeout=_GRACE_SECONDS)
        for task in self.server_state.tasks:
            task.cancel()

    async def _close_listeners(self) -> None:
        """Stop accepting, and close the listening sockets once every accepted connection is known.

        asyncio loses a connection if its server closes after the accept and before the transport exists (Python 3.11,
        `asyncio.base_events.Server._attach`): it would stay open, and its client would wait.
        """
        listeners = [listener for server in self.servers for listener in server.sockets]
        for listener in listeners:
            asyncio.get_running_loop().remove_reader(listener)
        for _ in range(_TURNS if listeners else 0):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()


def _bound(family: int, address: tuple[str, int]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    return listener
