"""uvicorn on a background thread, which several servers may share: started and stopped by other threads, and quick
at both.
"""

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

# The net under a stop: tasks that have not noticed that their connection is gone are cancelled after this.
_GRACE_SECONDS = 1
# Turns of the event loop from accepting a connection to its `connection_made`: it is accepted, then its transport is
# made, and then the protocol is told (asyncio.selector_events).
_TURNS = 3


class ServerThread:
    """An event loop on a daemon thread, for any number of servers; runs until `stop`."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="modelenv-hub", daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """Stop, with all servers that are left, and return whether that took less than `seconds`."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:  # cancels what is left at the end
            runner.get_loop().run_forever()


class BackgroundServer:
    """Serves `app` on bound sockets, on a server thread, from `start` to `stop`; each may be called once."""

    def __init__(self, app: ASGIApp, listeners: Sequence[socket.socket], thread: ServerThread) -> None:
        # No lifespan, no websockets, and uvicorn's logging left as the user's program has it.
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
        """In a forked child: keep open none of the sockets that the parent serves and will close.

        Their numbers stay in use, because objects of the parent's thread still hold them.
        """
        nowhere = os.open(os.devnull, os.O_RDWR)
        for listener in (*self._listeners, *self._server.sockets()):
            if listener.fileno() >= 0:
                os.dup2(nowhere, listener.fileno(), inheritable=False)
        os.close(nowhere)

    def start(self, seconds: float) -> bool:
        """Start, and return whether requests are answered within `seconds`."""
        self._serving = asyncio.run_coroutine_threadsafe(self._serve(), self._loop)
        return self._ready.wait(seconds) and self._server.started

    def stop(self, seconds: float) -> bool:
        """Close the sockets, break off all connections, and return whether that took less than `seconds`."""
        if self._serving is None or self._loop.is_closed():
            return True
        self._loop.call_soon_threadsafe(self._server.leave)
        return not wait([self._serving], seconds).not_done

    def refuse(self, seconds: float) -> None:
        """Reset all connections and refuse new ones for a while; called on the server's own thread."""
        self._server.refuse(seconds)

    async def _serve(self) -> None:
        try:
            await self._server.serve(sockets=self._listeners)
        finally:
            await self._server.shutdown()  # again where the thread ends before its servers
            for listener in self._listeners:
                listener.close()
            self._ready.set()


class _Connection(H11Protocol):
    """A connection that shows its transport to the application, which may have to break it off."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.app_state = {**self.app_state, TRANSPORT: transport}
        super().connection_made(transport)


class _Server(uvicorn.Server):
    """A uvicorn server that tells when it has started, and that waits for no slow client when it stops."""

    def __init__(self, config: uvicorn.Config, ready: threading.Event) -> None:
        super().__init__(config)
        self._ready = ready
        self.servers: list[asyncio.base_events.Server] = []  # so that it can be broken off before its startup
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
        # uvicorn looks every 0.1 s whether it should stop; this hears of it at once. The tick renews the date.
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), timeout=1)

    def refuse(self, seconds: float) -> None:
        """Reset all connections and refuse new ones for a while; does nothing while it refuses already."""
        if not self.should_exit and self._reopening is None:
            self._reopening = asyncio.ensure_future(self._refuse_and_reopen(seconds))

    async def _refuse_and_reopen(self, seconds: float) -> None:
        addresses = [
            (listener.family, listener.getsockname()) for server in self.servers for listener in server.sockets
        ]
        listeners: list[socket.socket] = []
        try:
            await self._close_listeners()
            # Bound again at once, but not listening: so the port stays ours, and connections to it are refused.
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
        """Begin to stop; called on the server's own thread."""
        self.should_exit = True
        self._stopping.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Break off all connections; does nothing the second time."""
        if self._reopening is not None:
            self._reopening.cancel()
            await asyncio.wait({self._reopening})
        await self._close_listeners()
        for connection in list(self.server_state.connections):
            # A plain close would wait until a slow client has taken what is buffered for it.
            connection.transport.abort()
        # uvicorn gives connections time to finish; here all are aborted, and only the tasks have to notice it.
        if self.server_state.tasks:
            await asyncio.wait(set(self.server_state.tasks), timeout=_GRACE_SECONDS)
        for task in self.server_state.tasks:
            task.cancel()

    async def _close_listeners(self) -> None:
        """Accept nothing more, and close the listening sockets once all that was accepted is known.

        asyncio loses a connection whose server closes between its acceptance and its transport (Python 3.11,
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
