"""Which requests are answered: those meant for this server, from its own page or from no page.

A page anywhere on the web can make its visitor's browser send requests to this machine. It can
point a name of its own at 127.0.0.1, and then the Host header still says that name; and it can post
to the true address, and then the Origin header says whose page it is.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?", re.IGNORECASE)
_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})
_READING = ("GET", "HEAD")

#: On every answer; the page asks for nothing from elsewhere and nobody frames it.
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Callable[[], Awaitable[Message]], Send], Awaitable[None]]


@dataclass(frozen=True)
class Names:
    """What the server may be called in a Host header.

    Attributes:
        known: host names and addresses in lower case, IPv6 in brackets.
        addresses: also any address: a browser that was led astray sends a name, never a number.
    """

    known: frozenset[str]
    addresses: bool = False


def names_of(host: str, machine: str) -> Names:
    """The names of a server that listens on ``host``, on the machine of that name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return Names(_LOCAL | {host.lower()})
    if address.is_unspecified:
        return Names(_LOCAL | {machine.lower()}, addresses=True)
    return Names(_LOCAL | {_bracketed(address)})


def refusal(method: str, host: str, origin: str | None, names: Names) -> str | None:
    """Why a request is not answered, as a sentence; None if it is."""
    matched = _HOST.fullmatch(host)
    if matched is None or not _is_known(matched[1].lower(), names):
        return (
            f"this server is not called {host[:100]!r}; open the address that img2mesh serve "
            "printed, or start it with --host and that name"
        )
    if method not in _READING and origin is not None:
        scheme, _, place = origin.partition("://")
        if scheme not in ("http", "https") or place.lower() != host.lower():
            return f"a page of {origin[:100]!r} may not ask for this; use the server's own page"
    return None


def _is_known(name: str, names: Names) -> bool:
    if name in names.known:
        return True
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return names.addresses or _bracketed(address) in names.known


def _bracketed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    return f"[{address}]" if address.version == 6 else str(address)


def guarded(app: App, names: Names, refuse: Callable[[str], App]) -> App:
    """The app behind the rules above, with ``HEADERS`` on every answer.

    Args:
        app: an ASGI application.
        names: what the server is called.
        refuse: makes the application that answers with a sentence.
    """

    async def answer(scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                there = {name.lower() for name, _ in given}
                more = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
                message["headers"] = given + [pair for pair in more if pair[0] not in there]
            await send(message)

        if scope["type"] != "http":
            return
        named = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        why = refusal(scope["method"], named.get("host", ""), named.get("origin"), names)
        await (app if why is None else refuse(why))(scope, receive, headed)

    return answer
