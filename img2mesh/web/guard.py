"""Which requests are answered: those meant for this server, from its own page or from no page.

A page anywhere on the web can make its visitor's browser send requests to this machine. It can
point a name of its own at 127.0.0.1, and then the Host header still says that name; and it can post
to the true address, and then the Origin header says whose page it is. Where others on the network
reach the server, only who knows its token is answered.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, replace
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

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
#: Holds the token in a browser that was once given the address with it.
COOKIE = "img2mesh"

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


def names_of(host: str, machine: str, allowed: Iterable[str] = ()) -> Names:
    """The names of a server that listens on ``host``, on the machine of that name."""
    more = frozenset(name.lower() for name in allowed)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return Names(_LOCAL | more | {host.lower()})
    if address.is_unspecified:
        return replace(Names(_LOCAL | more | {machine.lower()}), addresses=True)
    return Names(_LOCAL | more | {_bracketed(address)})


def refusal(method: str, host: str, origin: str | None, names: Names) -> str | None:
    """Why a request is not answered, as a sentence; None if it is."""
    matched = _HOST.fullmatch(host)
    if matched is None or not _is_known(matched[1].lower(), names):
        return (
            f"this server is not called {host[:100]!r}; open the address that img2mesh serve "
            "printed, or start it with --allow-host and that name"
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


def knows(token: str, named: dict[str, str]) -> bool:
    """Whether a request's headers (lower case) show the token, as a bearer's or in the cookie."""
    kind, _, given = named.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and _same(given.strip(), token):
        return True
    try:
        kept = SimpleCookie(named.get("cookie", "")).get(COOKIE)
    except CookieError:
        return False
    return kept is not None and _same(kept.value, token)


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def guarded(
    app: App, names: Names, refuse: Callable[[int, str], App], *, token: str | None = None
) -> App:
    """The app behind the rules above, with ``HEADERS`` on every answer.

    Args:
        app: an ASGI application.
        names: what the server is called.
        refuse: makes the application that answers with a status and a sentence.
        token: what a request must show; None answers all that come this far.
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
        if why is not None:
            await refuse(403, why)(scope, receive, headed)
        elif token is None or knows(token, named):
            await app(scope, receive, headed)
        elif _same(_given(scope), token):
            await _let_in(token)(scope, receive, headed)
        else:
            why = "this server answers who knows its token: open the address that it printed"
            await refuse(401, why)(scope, receive, headed)

    return answer


def _given(scope: Message) -> str:
    """The token in the address, which only leads to the page."""
    if scope["method"] != "GET" or scope["path"] != "/":
        return ""
    return parse_qs(scope.get("query_string", b"").decode("latin-1")).get("t", [""])[0]


def _let_in(token: str) -> App:
    """To the page without the token in its address, which would stay in the browser's history."""

    async def answer(scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        cookie = f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000"
        headers = [(b"location", b"/"), (b"set-cookie", cookie.encode()), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    return answer
