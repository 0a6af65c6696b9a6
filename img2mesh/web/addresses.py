"""Sockets and their addresses: where the server listens, and who can get there by which name."""

from __future__ import annotations

import ipaddress
import socket

from img2mesh.errors import InputError

_EVERYWHERE = ("0.0.0.0", "::")


def listen(host: str, port: int) -> socket.socket:
    """A socket that others can reach from now on.

    Raises:
        InputError: the port is taken, or the host is not one of this machine's.
    """
    listener = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        # At once: only then does a second server notice that the port is taken.
        listener.listen(128)
    except (OSError, UnicodeError) as error:
        if listener is not None:
            listener.close()
        cause = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"cannot listen on {host}, port {port}: {cause}; choose another --port (0 takes a free "
            "one) or a --host of this machine"
        ) from error
    return listener


def addresses_of(listener: socket.socket) -> list[str]:
    """What to open in a browser: the first from this machine, the others from the network too."""
    host, port = listener.getsockname()[:2]
    if host not in _EVERYWHERE:
        return [_address(host, port)]
    return [_address("localhost", port), *(_address(one, port) for one in _of_this_machine(host))]


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine reaches the socket."""
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def _address(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def _of_this_machine(host: str) -> list[str]:
    """Every address by which the network reaches this machine, as far as it is of the socket."""
    import psutil

    families = (socket.AF_INET,) if host == "0.0.0.0" else (socket.AF_INET, socket.AF_INET6)
    found = []
    for one in (a for card in psutil.net_if_addrs().values() for a in card):
        if one.family in families:
            address = ipaddress.ip_address(one.address.partition("%")[0])
            if not address.is_loopback and not address.is_link_local:
                found.append(str(address))
    return sorted(found, key=lambda text: (":" in text, text))
