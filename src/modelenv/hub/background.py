"""uvicorn on a background thread: started and stopped by other threads, and quick at both."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    import socket

    from .app import HubApp

# The net under a stop: tasks that have not noticed that their connection is gone are cancelled after this.
_GRACE_SECONDS = 1


class BackgroundServer:
    """Serves `app` on a bound socket, on a daemon thread, from `start` to `stop`; each may be called once."""

    def __init__(self, app: HubApp, listener: socket.socket) -> None:
        # No lifespan, no websockets, and uvicorn's logging left as the user's program has it.
        config = uvicorn.Config(
            app,
            interface="asgi3",
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            backlog=1024,
            timeout_keep_alive=60,
        )
        self._listener = listener
        self._ready = threading.Event()
        self._server = _Server(config, self._ready)
        self._thread = threading.Thread(target=self._run, name="modelenv-hub", daemon=True)

    def start(self, seconds: float) -> bool:
        """Start the thread, and return whether requests are answered within `seconds`."""
        self._thread.start()
        return self._ready.wait(seconds) and self._server.started

    def stop(self, seconds: float) -> bool:
        """Close the socket, break off all connections, and return whether that took less than `seconds`."""
        self._server.break_off()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._listener])
        finally:
            self._listener.close()
            self._ready.set()


class _Server(uvicorn.Server):
    """A uvicorn server that tells when it has started, and that waits for no slow client when it stops."""

    def __init__(self, config: uvicorn.Config, ready: threading.Event) -> None:
        super().__init__(config)
        self._ready = ready
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._event_loop = asyncio.get_running_loop()
        self._ready.set()

    async def main_loop(self) -> None:
        # uvicorn looks every 0.1 s whether it should stop; this hears of it at once. The tick renews the date.
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), timeout=1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn gives connections time to finish; here all are aborted, and only the tasks have to notice it.
        if self.server_state.tasks:
            await asyncio.wait(set(self.server_state.tasks), timeout=_GRACE_SECONDS)
        for task in self.server_state.tasks:
            task.cancel()

    def break_off(self) -> None:
        if self._event_loop is not None and not self._event_loop.is_closed():
            self._event_loop.call_soon_threadsafe(self._abort)

    def _abort(self) -> None:
        self.should_exit = True
        self._stopping.set()
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            # A plain close would wait until a slow client has taken what is buffered for it.
            if connection.transport is not None:
                connection.transport.abort()
