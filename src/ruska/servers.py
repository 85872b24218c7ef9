"""Which addresses a server may redirect to, checked before they are contacted.

Otherwise a server could redirect Ruska into the user's private network, which the server itself cannot reach.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection, Iterable
from typing import Literal
from urllib.parse import SplitResult, urljoin, urlsplit

Kind = Literal["global", "private", "loopback", "never"]
MOST_REDIRECTS = 5
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # IPv4 seen from networks that have IPv6 only
_SHOWN = 100  # characters of an address that a server sent


def kind_of(address: str) -> Kind:
    """What an IP address is: of the whole net, of a network like a lab's, this machine, or none to be sent to.

    An IPv4 address within an IPv6 address counts as IPv4. Raises ValueError if it is not an address.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        found = _inside(found) or found
    if found.is_loopback:
        return "loopback"
    if found.is_link_local or found.is_multicast or found.is_unspecified or found.is_reserved:
        return "never"
    return "global" if found.is_global and not getattr(found, "is_site_local", False) else "private"


def _inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


def addresses_of(host: str, port: int) -> list[str]:
    """IP addresses of a host, however it is written. OSError if it has none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{host[:_SHOWN]!r} is not the name of a server") from error
    return list(dict.fromkeys(str(where[0]) for *_, where in found))


def forbidden(addresses: Iterable[str], kinds: Collection[Kind]) -> str:
    """The first of ``addresses`` that is not allowed as a redirect; empty if all are.

    kinds : of the addresses of the server that the user named. Where it is on a private network, or this machine, it
        may lead to others there.
    """
    allowed = {"global"} | ({"private", "loopback"} & set(kinds))
    return next((address for address in addresses if kind_of(address) not in allowed), "")


def is_literal(host: str) -> bool:
    """Whether ``host`` is an IP address, also as 127.1, 0x7f000001 or 2130706433, rather than a name to look up."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            socket.inet_aton(host)
        except (OSError, UnicodeError):
            return False
    return True


def redirected(here: str, location: str, *, elsewhere: bool) -> str:
    """The address that ``location``, the answer of ``here``, leads to. ValueError says why it is not followed.

    elsewhere : whether it may be another server.
    """
    try:
        target = urljoin(here, location)
        now, then = urlsplit(here), urlsplit(target)
        _ = then.port
    except ValueError as error:
        raise ValueError(f"redirects to something that is not an address ({error})") from error
    shown = repr(target[:_SHOWN])
    if "@" in then.netloc or "\\" in then.netloc:
        raise ValueError("redirects to an address with a user name in it")
    if then.scheme != "https" and (then.scheme, now.scheme) != ("http", "http"):
        raise ValueError(f"redirects to {shown}, which is not https://")
    if not then.hostname:
        raise ValueError(f"redirects to {shown}, which names no server")
    if not elsewhere and origin(then) != origin(now):
        raise ValueError(f"redirects to another server, {shown}; only weights, whose sha256 is known, may come "
                         "from other servers")  # fmt: skip
    return then._replace(fragment="").geturl()


def origin(parts: SplitResult) -> tuple[str, str, int]:
    """Scheme, host and port, which identify a server."""
    return parts.scheme, (parts.hostname or "").rstrip("."), parts.port or (443 if parts.scheme == "https" else 80)
