"""Asking a mirror and no one else: redirects are checked first, and what it sends is counted.

The name of a server is looked up once, its addresses are judged, and the connection goes to the address that was
judged: a name that changes its mind in between leads nowhere. Behind a proxy, which looks names up itself, only
addresses that are written as numbers can be judged.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse
from ssl import SSLContext, SSLError, create_default_context
from typing import Any
from urllib.error import URLError
from urllib.parse import quote, urlsplit
from urllib.request import (
    AbstractHTTPHandler,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    getproxies,
    proxy_bypass,
)

from ruska.errors import InputError
from ruska.servers import MOST_REDIRECTS, Kind, addresses_of, forbidden, is_literal, kind_of, origin, redirected

SECONDS = 60.0
"""How long a server may send less than `LEAST` bytes before it is given up."""
LEAST = 32 << 10
_CONNECTING = 20.0  # seconds, of one address
_CHUNK = 1 << 20


class RefusedError(Exception):
    """Why an address is not asked, as the problem of an error."""


class _Watch:
    """Cuts the connection of a server that sends too little; a timeout alone lets it send a byte a minute for ever."""

    def __init__(self) -> None:
        self.count, self.slow = 0, False
        self._socket: socket.socket | None = None
        self._over = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def over(self, connection: socket.socket) -> None:
        self._socket = connection
        if self.slow:
            self._cut()

    def end(self) -> None:
        self._over.set()

    def _look(self) -> None:
        before = 0
        while not self._over.wait(SECONDS):
            if self.count - before < LEAST:
                self.slow = True
                self._cut()
                return
            before = self.count

    def _cut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # of TLS, too, without a word


class _Server:
    """The server that the user named; its addresses decide which redirects are allowed."""

    def __init__(self, address: str) -> None:
        self.origin = origin(urlsplit(address))
        self.kinds: set[Kind] = set()

    def judge(self, scheme: str, host: str, port: int) -> list[str]:
        """Addresses of a host that may be asked; RefusedError says why one of them may not."""
        found = addresses_of(host, port)
        kinds = {kind_of(address) for address in found}
        if scheme == "http" and kinds != {"loopback"}:
            raise RefusedError(f"http:// is for this machine alone, and {host} is at {found[0]}")
        if (scheme, host.rstrip(".").lower(), port) == self.origin:
            self.kinds |= kinds
        elif wrong := forbidden(found, self.kinds):
            raise RefusedError(f"redirects to {host}, which is at {wrong}, an address in a private network")
        return found


class _Connection(HTTPConnection):
    """A connection to an address that was judged."""

    def __init__(self, host: str, *, server: _Server, watch: _Watch, tls: SSLContext | None, **options: Any) -> None:
        self.default_port = 443 if tls else 80
        super().__init__(host, **options)
        self._server, self._watch, self._tls = server, watch, tls

    def connect(self) -> None:
        addresses = self._server.judge("https" if self._tls else "http", self.host, self.port)
        plain = _first_that_answers(addresses, self.port)
        plain.settimeout(self.timeout)
        self._watch.over(plain)
        self.sock = plain
        if self._tls is not None:
            safe = self._tls.wrap_socket(plain, server_hostname=self.host, do_handshake_on_connect=False)
            self._watch.over(safe)
            self.sock = safe
            safe.do_handshake()


def _first_that_answers(addresses: list[str], port: int) -> socket.socket:
    for last, address in enumerate(addresses, 1 - len(addresses)):
        try:
            return socket.create_connection((address, port), _CONNECTING)
        except OSError:
            if not last:
                raise
    raise OSError("the server has no address")


class _Direct(AbstractHTTPHandler):
    """http:// and https:// without a proxy."""

    def __init__(self, server: _Server, watch: _Watch) -> None:
        super().__init__()
        self._server, self._watch = server, watch

    def http_open(self, request: Request) -> HTTPResponse:
        return self._opened(request, None)

    def https_open(self, request: Request) -> HTTPResponse:
        return self._opened(request, create_default_context())

    def _opened(self, request: Request, tls: SSLContext | None) -> HTTPResponse:
        connection: Any = partial(_Connection, server=self._server, watch=self._watch, tls=tls)
        return self.do_open(connection, request)

    http_request = https_request = AbstractHTTPHandler.do_request_


@contextmanager
def opened(address: str, *, hashed: bool) -> Iterator[tuple[HTTPResponse, Callable[[], bytes]]]:
    """The answer to ``address``, and what gives its next bytes, none at its end.

    hashed : whether its content is checked against a sha256 that is known: only then may another server send it.
    Raises InputError where there is no answer, or where it redirects to a forbidden place, breaks off or is too slow.
    """
    watch = _Watch()
    try:
        with _explained(address, watch):
            answer = _followed(address, hashed, watch)
        with answer:
            yield answer, partial(_next, address, answer, watch)
    finally:
        watch.end()


@contextmanager
def _explained(address: str, watch: _Watch) -> Iterator[None]:
    try:
        yield
    except (URLError, HTTPException, OSError, ValueError, RefusedError) as error:
        raise InputError(address, _problem(error, watch)) from error


def _followed(address: str, hashed: bool, watch: _Watch) -> HTTPResponse:
    """The answer with the content, after as many redirects as are allowed."""
    server, here = _Server(address), address
    for _ in range(MOST_REDIRECTS + 1):
        answer = _ask(here, server, watch)
        if answer.status == 200:
            return answer
        answer.close()
        if answer.status not in (301, 302, 303, 307, 308):
            raise RefusedError(f"the server says {answer.status} {answer.reason[:60]}")
        here = redirected(here, answer.headers.get("Location", ""), elsewhere=hashed)
    raise RefusedError(f"redirects more than {MOST_REDIRECTS} times")


def _ask(address: str, server: _Server, watch: _Watch) -> HTTPResponse:
    """The answer of a server, whatever its status; redirects are not followed."""
    parts, opener = urlsplit(address), OpenerDirector()
    host = parts.hostname or ""
    if parts.scheme == "https" and "https" in getproxies() and not proxy_bypass(host):
        if is_literal(host):
            server.judge("https", host, origin(parts)[2])
        handlers = [ProxyHandler(), HTTPHandler(), HTTPSHandler()]
    else:
        handlers = [_Direct(server, watch)]
    for handler in handlers:
        opener.add_handler(handler)
    request = Request(quote(address, safe=":/?=&%[]@~+,;!$'()*"), headers={"User-Agent": "ruska"})
    answer: HTTPResponse = opener.open(request, timeout=SECONDS)
    return answer


def _next(address: str, answer: HTTPResponse, watch: _Watch) -> bytes:
    with _explained(address, watch):
        part = answer.read1(_CHUNK)
        watch.count += len(part)
        if watch.slow:
            raise TimeoutError
        if not part and answer.length:
            raise ConnectionError(f"{answer.length} bytes are missing")
        return part


def _problem(error: Exception, watch: _Watch) -> str:
    if watch.slow:
        return f"broke off: less than {LEAST >> 10} kB came in {SECONDS:.0f} seconds"
    if isinstance(error, URLError):
        return f"cannot be reached ({error.reason})"
    if isinstance(error, TimeoutError | ConnectionError | SSLError | HTTPException):
        return f"broke off ({str(error)[:150] or type(error).__name__})"
    return str(error)
