"""Who is connected: a limit of their number, and deadlines for those who do not speak.

A server on one loop accepts whatever comes; a few hundred clients that open a connection and say
nothing would use up the descriptors, and from then on nobody is answered. So there are places for
``MOST``; who comes when all are taken gets the place of whoever has been silent longest, unless
that one is being answered.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from img2mesh.web.guard import App, Message

MOST = 128
HEADER_SECONDS = 10.0  # from connecting, or from the last answer, to a whole head of a request
SILENT_SECONDS = 60.0  # without a byte of a body that was begun
LEFTOVER_SECONDS = 5.0  # of a body that nobody reads any more, since it is answered
#: Sockets that the loop may accept at a time, before it can close those that are too many.
BACKLOG = 16
_ROUND = 1.0  # seconds between looks


@dataclass(eq=False)
class Connection:
    """One connection.

    Attributes:
        close: ends it.
        heard: when it last sent something, by the loop's clock.
        state: ``head`` (a request is awaited), ``body`` (one is being read), ``answer`` (all of it
            is here) or ``leftover`` (it was answered before all of it was here).
        since: when that began.
    """

    close: Callable[[], None]
    heard: float
    state: str = "head"
    since: float = 0.0

    def turn(self, state: str, now: float) -> None:
        """From now on in another state."""
        self.state, self.since = state, now

    def is_late(self, now: float) -> bool:
        """Whether a deadline has passed."""
        match self.state:
            case "head":
                return now - self.since > HEADER_SECONDS
            case "body":
                return now - self.heard > SILENT_SECONDS
            case "leftover":
                return now - self.since > LEFTOVER_SECONDS
        return False


class Connections:
    """All connections of a server, by the address of who is at the other end."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._open: dict[tuple[str, int], Connection] = {}
        self._looking: asyncio.TimerHandle | None = None

    def opened(self, peer: tuple[str, int], close: Callable[[], None], now: float) -> bool:
        """Somebody has come; False if there is no place."""
        if len(self._open) >= self._most:
            idle = [(c.heard, key) for key, c in self._open.items() if c.state != "answer"]
            if not idle:
                return False
            _, silent = min(idle)
            self._open.pop(silent).close()
        self._open[peer] = Connection(close, heard=now, since=now)
        return True

    def heard(self, peer: tuple[str, int], now: float) -> None:
        """Bytes came."""
        if connection := self._open.get(peer):
            connection.heard = now

    def closed(self, peer: tuple[str, int]) -> None:
        """Somebody has gone."""
        self._open.pop(peer, None)

    def turn(self, peer: object, state: str, now: float) -> None:
        """A request has come to another point."""
        if isinstance(peer, tuple) and (connection := self._open.get(peer)):
            connection.turn(state, now)

    def look(self, now: float) -> None:
        """End what is late."""
        for peer, connection in list(self._open.items()):
            if connection.is_late(now):
                del self._open[peer]
                connection.close()

    def keep_looking(self) -> None:
        """Look from now on, on the running loop."""
        if self._looking is None:
            loop = asyncio.get_running_loop()

            def again() -> None:
                self.look(loop.time())
                self._looking = loop.call_later(_ROUND, again)

            self._looking = loop.call_later(_ROUND, again)


def protocol(connections: Connections) -> Any:
    """uvicorn's HTTP protocol, with every connection in the book."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Counted(H11Protocol):
        """See :class:`Connections`."""

        peer: tuple[str, int] | None = None

        def connection_made(self, transport: Any) -> None:
            address = transport.get_extra_info("peername")
            connections.keep_looking()
            if address is not None:
                self.peer = (str(address[0]), int(address[1]))
                if not connections.opened(self.peer, transport.abort, self.loop.time()):
                    self.peer = None
                    transport.abort()
            super().connection_made(transport)

        def data_received(self, data: bytes) -> None:
            if self.peer is not None:
                connections.heard(self.peer, self.loop.time())
            super().data_received(data)

        def connection_lost(self, exc: Exception | None) -> None:
            if self.peer is not None:
                connections.closed(self.peer)
            super().connection_lost(exc)

    return Counted


def with_long_queue(server: Any, listener: socket.socket) -> None:
    """Let the kernel keep more who wait than the loop accepts at a time; or they come back late."""
    start = server.startup

    async def started(*arguments: Any, **more: Any) -> None:
        await start(*arguments, **more)
        listener.listen(MOST)

    server.startup = started


def watched(app: App, connections: Connections) -> App:
    """The app, with every request's progress in the book."""

    async def answer(scope: Message, receive: Any, send: Any) -> None:
        peer = tuple(scope.get("client") or ())
        loop = asyncio.get_running_loop()
        whole = False

        async def received() -> Message:
            nonlocal whole
            message: Message = await receive()
            if message["type"] == "http.request" and not message.get("more_body"):
                whole = True
                connections.turn(peer, "answer", loop.time())
            return message

        connections.turn(peer, "answer" if _is_short(scope) else "body", loop.time())
        try:
            await app(scope, received, send)
        finally:
            over = whole or _is_short(scope)
            connections.turn(peer, "head" if over else "leftover", loop.time())

    return answer


def _is_short(scope: Message) -> bool:
    """Whether a request has no body."""
    names = {name.lower() for name, _ in scope.get("headers", ())}
    return not names & {b"content-length", b"transfer-encoding"}


def more_descriptors(wanted: int = 1024) -> None:
    """Raise this process' soft limit of open files, where there is one and it is low."""
    try:
        import resource
    except ImportError:  # Windows has another limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted and (hard == resource.RLIM_INFINITY or hard > soft):
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def places() -> int:
    """How many connections fit beside the files that the server itself opens."""
    try:
        import resource
    except ImportError:
        return MOST
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(8, min(MOST, soft - 64 - 2 * BACKLOG))
