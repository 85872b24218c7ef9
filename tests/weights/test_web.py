"""What a mirror may do: send so much and so slowly, and lead on to so few places, each looked at before it is asked."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest
from tests.weights.small import FACTS, network

from ruska.errors import InputError, SettingsError
from ruska.weights import load_model, save_model, web
from ruska.weights.mirror import fetch
from ruska.weights.model import CARD, WEIGHTS
from ruska.weights.store import INDEX, installed, models_folder


class Mirror(http.server.ThreadingHTTPServer):
    """Serves ``pages``: a path to bytes, to an address to be sent on to, or to a function of the handler."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages, self.asked, self.headers = {}, [], []
        self.address = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.headers.append(dict(self.headers))
        page = self.server.pages.get(self.path)
        if page is None:
            self.send_error(404)
        elif isinstance(page, str):
            self.send_response(302)
            self.send_header("Location", page)
            self.send_header("Set-Cookie", "secret=1")
            self.end_headers()
        elif isinstance(page, bytes):
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)
        else:
            try:
                page(self)
            except OSError:
                self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def mirrors(monkeypatch, tmp_path):
    monkeypatch.setenv("RUSKA_MODELS", str(tmp_path / "store"))
    monkeypatch.delenv("RUSKA_OFFLINE", raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    running = []

    def start():
        running.append(Mirror())
        return running[-1]

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def model(tmp_path):
    """sha256, card and weights."""
    card = save_model(tmp_path / "made", network().state_dict(), {**FACTS, "name": "mine"})
    return card.sha256, (tmp_path / "made" / CARD).read_bytes(), (tmp_path / "made" / WEIGHTS).read_bytes()


def whole(mirror, model):
    sha256, card, weights = model
    index = json.dumps({"mine": sha256}).encode()
    mirror.pages = {f"/{INDEX}": index, f"/{sha256}/{CARD}": card, f"/{sha256}/{WEIGHTS}": weights}
    return mirror


def refused(mirror, model, match):
    """Fetching fails, says so, leaves nothing, and there is one model, that of Ruska."""
    with pytest.raises(InputError, match=match) as caught:
        fetch("mine", [mirror.address])
    left = list(models_folder().iterdir()) if models_folder().exists() else []
    assert left == []
    assert len(installed()) == 1
    return str(caught.value)


PARTS = [INDEX, CARD, WEIGHTS]


def path_of(part, model):
    return f"/{INDEX}" if part == INDEX else f"/{model[0]}/{part}"


def move(part, mirror, to, model):
    """``part`` of the mirror is now behind a redirect to ``to``."""
    path = path_of(part, model)
    content = mirror.pages[path]
    mirror.pages[path] = to
    return content


@pytest.mark.parametrize("part", PARTS)
def test_a_server_may_send_us_on_within_itself(mirrors, model, part):
    mirror = whole(mirrors(), model)
    mirror.pages["/there"] = move(part, mirror, "/next", model)
    mirror.pages["/next"] = "there"
    fetch("mine", [mirror.address])
    assert load_model("mine").card.name == "mine"
    assert not any({"Cookie", "Authorization"} & set(sent) for sent in mirror.headers)


@pytest.mark.parametrize("part", PARTS)
def test_another_server_may_send_what_is_checked_by_its_hash(mirrors, model, part):
    mirror, other = whole(mirrors(), model), mirrors()
    other.pages["/it"] = move(part, mirror, f"{other.address}/it", model)
    if part == WEIGHTS:
        fetch("mine", [mirror.address])
        assert load_model("mine")
        assert other.asked == ["/it"]
        return
    refused(mirror, model, "another server")
    assert other.asked == []


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("https://10.0.0.1/w", "is at 10.0.0.1, an address in a private network"),
        ("https://192.168.0.1/w", "192.168.0.1"),
        ("https://169.254.169.254/latest", "169.254.169.254"),
        ("http://169.254.169.254/latest", "for this machine alone"),
        ("http://10.0.0.1/w", "for this machine alone"),
        ("https://0.0.0.0/w", r"0\.0\.0\.0"),
        ("https://[::ffff:10.0.0.1]/w", "in a private network"),
        ("https://[fe80::1]/w", "in a private network"),
        ("https://[fd00::1]/w", "in a private network"),
        ("https://167772161/w", r"at 10\.0\.0\.1"),
        ("https://012.0.0.1/w", r"at 10\.0\.0\.1"),
        ("https://0xa.1/w", r"at 10\.0\.0\.1"),
        ("ftp://127.0.0.1/w", "not https://"),
        ("file:///etc/passwd", "not https://"),
        ("https://me:s3cret@example.org/w", "with a user name"),
        ("", "more than 5 times"),
    ],
)
def test_weights_are_not_looked_for_within_a_network(mirrors, model, location, said, monkeypatch):
    mirror = whole(mirrors(), model)
    move(WEIGHTS, mirror, location, model)
    real = socket.create_connection

    def connect(where, *rest):
        assert where[1] == mirror.server_port, "was asked before it was judged"
        return real(where, *rest)

    monkeypatch.setattr(socket, "create_connection", connect)
    assert "s3cret" not in refused(mirror, model, said)


def resolving(monkeypatch, names):
    """Names of servers and their addresses, one after the other at each time they are looked up; counts them."""
    real, asked = socket.getaddrinfo, []

    def look(host, port, *args, **options):
        if host not in names:
            return real(host, port, *args, **options)
        asked.append(host)
        found = names[host][min(len([h for h in asked if h == host]), len(names[host])) - 1]
        return [entry for address in found for entry in real(address, port, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", look)
    return asked


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["fd00::1"], ["169.254.1.1"]])
def test_all_addresses_of_a_name_are_judged(mirrors, model, addresses, monkeypatch):
    mirror = whole(mirrors(), model)
    move(WEIGHTS, mirror, "https://inside.example.org/w", model)
    resolving(monkeypatch, {"inside.example.org": [addresses]})
    refused(mirror, model, "inside.example.org, which is at .*in a private network")


def test_the_address_that_was_judged_is_the_one_that_is_asked(mirrors, model, monkeypatch):
    """A name that leads elsewhere when it is looked up again is looked up once."""
    mirror, other = whole(mirrors(), model), mirrors()
    other.pages["/it"] = move(WEIGHTS, mirror, f"http://twice.example.org:{other.server_port}/it", model)
    asked = resolving(monkeypatch, {"twice.example.org": [["127.0.0.1"], ["10.0.0.1"]]})
    fetch("mine", [mirror.address])
    assert asked == ["twice.example.org"]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_without_an_end_is_stopped(mirrors, model, part, chunked):
    mirror, sent = whole(mirrors(), model), [0]
    start = b"{" if part != WEIGHTS else model[2]

    def endless(handler):
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        if chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write((f"{len(start):x}\r\n".encode() + start + b"\r\n") if chunked else start)
        piece = bytes(1 << 20)
        for _ in range(100):
            handler.wfile.write((b"100000\r\n" + piece + b"\r\n") if chunked else piece)
            sent[0] += len(piece)

    mirror.pages[path_of(part, model)] = endless
    refused(mirror, model, "has at most" if part == WEIGHTS else "too large")
    assert sent[0] < 40 << 20


def test_a_claimed_length_is_judged_before_it_comes(mirrors, model):
    mirror = whole(mirrors(), model)

    def claims(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(1 << 50))
        handler.end_headers()

    mirror.pages[f"/{model[0]}/{WEIGHTS}"] = claims
    refused(mirror, model, "network of its card has at most")


def drip_headers(handler):
    for _ in range(200):
        handler.wfile.write(b"H")
        time.sleep(0.02)


def drip_content(handler):
    handler.send_response(200)
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b"x")
        time.sleep(0.02)


def drip_redirect(handler):
    handler.send_response(302)
    handler.send_header("Location", "/elsewhere")
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(bytes(1 << 16))
        time.sleep(0.02)


def silent(handler):
    time.sleep(4)


@pytest.mark.parametrize("how", [drip_headers, drip_content, silent])
@pytest.mark.parametrize("part", [INDEX, WEIGHTS])
def test_a_server_that_drips_is_given_up(mirrors, model, how, part, monkeypatch):
    monkeypatch.setattr(web, "SECONDS", 0.3)
    mirror = whole(mirrors(), model)
    mirror.pages[path_of(part, model)] = how
    start = time.perf_counter()
    refused(mirror, model, "broke off|cannot be reached")
    assert time.perf_counter() - start < 3


def test_what_comes_with_a_redirect_is_not_read(mirrors, model):
    mirror = whole(mirrors(), model)
    mirror.pages[f"/{model[0]}/{CARD}"] = drip_redirect
    mirror.pages["/elsewhere"] = model[1]
    start = time.perf_counter()
    fetch("mine", [mirror.address])
    assert time.perf_counter() - start < 3


@pytest.mark.parametrize(
    "content", [b"[[1]]", b"[" * 100_000, b'{"mine": ["a"]}', b'{"mine": "../../x"}', b"\xff", b"null"]
)
def test_a_hostile_index_is_one_line(mirrors, model, content):
    mirror = whole(mirrors(), model)
    mirror.pages[f"/{INDEX}"] = content
    refused(mirror, model, "index.json")


def test_an_index_of_many_names_is_not_shown_whole(mirrors, model):
    mirror = whole(mirrors(), model)
    mirror.pages[f"/{INDEX}"] = json.dumps({f"{'n' * 200}{k}": "0" * 64 for k in range(1000)}).encode()
    assert len(refused(mirror, model, "and 990 more")) < 2000


@pytest.mark.parametrize("address", ["https://me:s3cret@example.org", "https://me@example.org", "https://[::1", "https://a:b:c",
                                     "https://", "http://0x7f.1/", "HTTP://example.org"])  # fmt: skip
def test_addresses_of_mirrors_are_looked_at(address):
    with pytest.raises(SettingsError, match="--from") as caught:
        fetch("mine", [address])
    assert "s3cret" not in str(caught.value)


def test_a_mirror_of_this_machine_that_is_another_is_not_asked(mirrors, model, monkeypatch):
    resolving(monkeypatch, {"localhost": [["10.0.0.1"]]})
    with pytest.raises(InputError, match="for this machine alone"):
        fetch("mine", ["http://localhost:9"])


@pytest.fixture
def certified(tmp_path, monkeypatch):
    """A certificate of localhost and its key, which this process trusts."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl, to make a certificate")
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = [tmp_path / "cert.pem", tmp_path / "key.pem"]
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names, "-out", made[0], "-keyout", made[1]]
    subprocess.run(list(map(str, words)), check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(made[0]))
    return made


def secured(mirror, certified):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certified)
    mirror.socket = context.wrap_socket(mirror.socket, server_side=True)
    mirror.address = f"https://localhost:{mirror.server_port}"
    return mirror


def test_a_mirror_with_tls_is_asked_and_never_left_for_one_without(mirrors, model, certified):
    mirror, plain = whole(secured(mirrors(), certified), model), mirrors()
    kept = move(WEIGHTS, mirror, f"{plain.address}/w", model)
    plain.pages["/w"] = kept
    refused(mirror, model, "not https://")
    assert plain.asked == []
    mirror.pages[f"/{model[0]}/{WEIGHTS}"] = kept
    fetch("mine", [mirror.address])
    assert load_model("mine")


def test_a_certificate_of_another_server_is_refused(mirrors, model, certified):
    mirror = whole(secured(mirrors(), certified), model)
    mirror.address = mirror.address.replace("localhost", "127.0.0.1")
    refused(mirror, model, "cannot be reached .*certificate")
    assert mirror.asked == []
