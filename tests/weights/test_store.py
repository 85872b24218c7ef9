"""Models by name: added, fetched from folders and servers, checked, and never half there."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
import zipfile

import pytest
from tests.weights.small import FACTS, network

from ruska.errors import InputError, OutputError, SettingsError
from ruska.weights import ModelCard, find_card, load_model, locate, save_model
from ruska.weights.embedded import EMBEDDED
from ruska.weights.mirror import fetch
from ruska.weights.model import CARD, WEIGHTS
from ruska.weights.store import INDEX, add, installed, models_folder


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("RUSKA_MODELS", str(tmp_path / "store"))
    monkeypatch.delenv("RUSKA_OFFLINE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "store"


def model(folder, name="mine", seed=0):
    return save_model(folder, network(seed).state_dict(), {**FACTS, "name": name})


def left_over(store):
    return [f.name for f in store.iterdir() if f.name.startswith(".")] if store.exists() else []


class _Server(http.server.ThreadingHTTPServer):
    asked: list[str]


@pytest.fixture
def serve():
    """Serves a folder on this machine; ``asked`` lists the paths that were asked for."""
    servers = []

    def start(folder, cut=None):
        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self):
                self.server.asked.append(self.path)
                if cut is None or not self.path.endswith(WEIGHTS):
                    return super().do_GET()
                content = (folder / self.path[1:]).read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[:cut])
                return None

            def log_message(self, *args):
                pass

        server = _Server(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        server.asked = []
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", server.asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder of models made as a user would make one, and the card of the model in it."""
    card = model(tmp_path / "made")
    monkeypatch.setenv("RUSKA_MODELS", str(tmp_path / "mirror"))
    add(tmp_path / "made")
    monkeypatch.setenv("RUSKA_MODELS", str(tmp_path / "store"))
    return tmp_path / "mirror", card


def test_an_added_model_is_found_by_name_and_by_hash(tmp_path, store):
    card = model(tmp_path / "made" / "mine")
    place = add(tmp_path / "made" / "mine")
    assert place == store / card.sha256
    shutil.rmtree(tmp_path / "made")
    assert locate("mine") == locate(card.sha256) == locate(card.sha256[:8]) == place
    assert load_model("mine").card == find_card("mine") == card
    assert left_over(store) == []
    assert json.loads((store / INDEX).read_text()) == {"mine": card.sha256}


def test_the_embedded_model_comes_first(tmp_path):
    own = ModelCard.read(EMBEDDED / CARD)
    model(tmp_path / "made", own.name)
    add(tmp_path / "made")
    assert [card.name for _, card in installed()] == [own.name, own.name]
    assert locate(own.name) == EMBEDDED


def test_a_folder_is_taken_as_it_is(tmp_path):
    model(tmp_path / "made", "one")
    add(tmp_path / "made")
    model(tmp_path / "one", "another", seed=1)
    assert find_card("one").name == "another"  # the folder here
    shutil.rmtree(tmp_path / "one")
    (tmp_path / "one").mkdir()
    assert find_card("one").name == "one"  # an empty folder is no model


def test_two_models_of_one_name_are_told_apart_by_hash(tmp_path):
    cards = [model(tmp_path / f"made{seed}", seed=seed) for seed in range(2)]
    places = [add(tmp_path / f"made{seed}") for seed in range(2)]
    with pytest.raises(InputError, match=cards[0].sha256[:12]):
        locate("mine")
    assert [locate(card.sha256[:12]) for card in cards] == places


def test_an_unknown_name_is_one_line_with_the_nearest(tmp_path):
    model(tmp_path / "made", "sem-30us")
    add(tmp_path / "made")
    with pytest.raises(InputError, match=r"Did you mean 'sem-30us'.*models fetch sem-3us"):
        load_model("sem-3us")


@pytest.mark.parametrize("given", ["folder", CARD, WEIGHTS, "zip"])
def test_a_model_may_be_given_in_several_ways(tmp_path, given):
    card = model(tmp_path / "made")
    source = tmp_path / "made" if given == "folder" else tmp_path / "made" / given
    if given == "zip":
        source = tmp_path / "model.zip"
        with zipfile.ZipFile(source, "w") as packed:
            for name in (CARD, WEIGHTS):
                packed.write(tmp_path / "made" / name, f"some/folder/{name}")
            packed.writestr("../../evil.txt", "out of here")
    add(source)
    assert load_model("mine").card == card
    assert not list(tmp_path.rglob("evil.txt"))


def test_what_is_no_model_is_not_added(tmp_path, store):
    (tmp_path / "notes.txt").write_text("no model")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as packed:
        packed.writestr("card.json", "{}")
    model(tmp_path / "changed")
    weights = tmp_path / "changed" / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1])
    for source, said in {"notes.txt": "not a model", "empty.zip": "holds no weights",
                         "changed": "does not match its card", "nothing": "does not exist"}.items():  # fmt: skip
        with pytest.raises(InputError, match=said):
            add(tmp_path / source)
    assert left_over(store) == []
    assert len(installed()) == 1


def test_a_folder_of_models_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    model(tmp_path / "made")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RUSKA_MODELS", str(tmp_path / "file" / "below"))
    with pytest.raises(OutputError, match="RUSKA_MODELS"):
        add(tmp_path / "made")


@pytest.mark.parametrize("by", ["name", "hash"])
@pytest.mark.parametrize("kind", ["folder", "server"])
def test_a_model_is_fetched(mirror, serve, store, by, kind):
    folder, card = mirror
    address = str(folder) if kind == "folder" else serve(folder)[0]
    place = fetch("mine" if by == "name" else card.sha256, [address + "/"])
    assert place == store / card.sha256
    assert load_model("mine").card == card
    assert left_over(store) == []


def test_what_is_here_is_not_fetched_again(mirror, serve):
    folder, card = mirror
    address, asked = serve(folder)
    fetch("mine", [address])
    before = len(asked)
    fetch("mine", [address])
    fetch(card.sha256, [address])
    assert fetch(ModelCard.read(EMBEDDED / CARD).name, [address]) == EMBEDDED
    assert len(asked) == before > 0


def test_the_next_mirror_is_asked_when_one_has_it_not(mirror, serve, tmp_path):
    (tmp_path / "empty").mkdir()
    empty, _ = serve(tmp_path / "empty")
    whole, _ = serve(mirror[0])
    fetch(mirror[1].sha256, [str(tmp_path / "none"), empty, "http://127.0.0.1:9", whole])
    assert load_model("mine")


def test_every_mirror_is_named_when_none_has_it(mirror, serve, tmp_path):
    address, _ = serve(mirror[0])
    with pytest.raises(
        InputError, match=r"other: is not installed.*has no such model, only mine.*none: is not a folder"
    ):
        fetch("other", [address, str(tmp_path / "none")])
    with pytest.raises(InputError, match="says 404"):
        fetch("0" * 64, [address])


@pytest.mark.parametrize("harm", ["cut", "changed", "other card", "no card", "no index"])
def test_a_damaged_mirror_leaves_nothing_behind(mirror, serve, store, harm):
    folder, card = mirror
    place = folder / card.sha256
    if harm == "changed":
        content = bytearray((place / WEIGHTS).read_bytes())
        content[-1] ^= 1
        (place / WEIGHTS).write_bytes(bytes(content))
    elif harm == "other card":
        (place / CARD).write_text((place / CARD).read_text().replace(card.sha256, "0" * 64))
    elif harm == "no card":
        (place / CARD).write_text("<html>log in</html>")
    elif harm == "no index":
        (folder / INDEX).write_text("[1]")
    address, _ = serve(folder, cut=100 if harm == "cut" else None)
    with pytest.raises(InputError, match=address):
        fetch("mine", [address])
    assert len(installed()) == 1
    assert left_over(store) == []
    assert not (store / card.sha256).exists()


def test_offline_the_network_is_left_alone(mirror, serve, monkeypatch):
    folder, card = mirror
    address, asked = serve(folder)
    with pytest.raises(InputError, match="--offline"):
        fetch("mine", [address], offline=True)
    monkeypatch.setenv("RUSKA_OFFLINE", "1")
    with pytest.raises(InputError, match="RUSKA_OFFLINE"):
        fetch("mine", [address])
    assert asked == []
    assert fetch("mine", [address, str(folder)]).name == card.sha256  # a folder is no network
    monkeypatch.setenv("RUSKA_OFFLINE", "0")
    assert fetch("mine", [address])


def test_nothing_is_fetched_unless_a_mirror_is_named():
    with pytest.raises(InputError, match="no mirror was named"):
        fetch("mine", [])


@pytest.mark.parametrize("address", ["http://example.org/models", "ftp://example.org", "file:///etc"])
def test_other_addresses_are_refused(address):
    with pytest.raises(SettingsError, match="https"):
        fetch("mine", [address])


def test_the_default_folder_is_the_systems(monkeypatch, tmp_path):
    monkeypatch.delenv("RUSKA_MODELS")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert models_folder() == tmp_path / "ruska" / "models"
