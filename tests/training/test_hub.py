"""Weights from the Hugging Face hub, played by a server in this process; the client is the real one."""

import hashlib
import http.server
import json
import threading

import huggingface_hub.constants
import pytest

from salbench import cli, registry
from salbench.runtime import Runtime
from salbench.training_plan import Plan
from salbench.weights import WeightsProblem
from salbench.weights.hub import from_hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Handler(http.server.BaseHTTPRequestHandler):
    """The repository lab/net, whose branch main is at COMMIT."""

    files: dict[str, bytes]
    damaged: dict[str, bytes]  # sent instead
    sent: list[str]

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/api/models/lab/net/revision/main":
            self.send_json({"id": "lab/net", "sha": COMMIT, "siblings": [{"rfilename": name} for name in self.files]})
        elif path == f"/api/models/lab/net/tree/{COMMIT}":
            self.send_json([{"type": "file", "path": name, "size": len(content), "oid": oid(content)}
                            for name, content in self.files.items()])  # fmt: skip
        elif path.removeprefix(f"/lab/net/resolve/{COMMIT}/") in self.files:
            name = path.removeprefix(f"/lab/net/resolve/{COMMIT}/")
            self.sent.append(name)
            content = self.damaged.get(name, self.files[name])
            self.send(200, content, {"ETag": f'"{etag(name, self.files[name])}"', "X-Repo-Commit": COMMIT})
        else:
            what = "Revision" if path.startswith("/api/models/lab/net/") else "Repo"
            self.send(404, b"", {"X-Error-Code": f"{what}NotFound"})

    def send_json(self, content):
        self.send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def send(self, status, content, headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *words):
        pass


def oid(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def etag(name, content):
    """As the hub gives it: SHA-256 for files that Git LFS stores, git's hash for others."""
    return hashlib.sha256(content).hexdigest() if name.endswith(".safetensors") else oid(content)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The server's class. Its files are to be set."""
    monkeypatch.setattr(Handler, "files", {"README.md": b"# net"}, raising=False)
    monkeypatch.setattr(Handler, "sent", [], raising=False)
    monkeypatch.setattr(Handler, "damaged", {}, raising=False)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))  # seconds between two looks whether to stop
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    yield Handler
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def trained(hub, add_learned, make_spots, tmp_path):
    """The folder of a training of the method `own`, whose files are on the hub beside others."""
    add_learned("own")
    folder = tmp_path / "run"
    registry.create("own", Runtime(progress=False)).fit(make_spots(12), Plan(folder, recipe={"epochs": 1}))
    hub.files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    hub.files |= {"model.pkl": b"code", "pytorch_model.bin": b"code", "old/best.safetensors": b"another"}
    return folder


def test_a_method_takes_what_was_downloaded(hub, trained, capsys):
    assert cli.main(["weights", "get", "--methods", "own", "--hub", "lab/net"]) == 0
    first, again, command = capsys.readouterr().out.splitlines()
    spec = command.partition("--methods ")[2].split()[0]
    assert first == f"own: {spec.partition('=')[2]}, hash {registry.create(f'own:{trained}').weights_hash()}"
    assert registry.create(spec).weights_hash() == registry.create(f"own:{trained}").weights_hash()
    assert registry.create(spec).variant == "net"
    assert again == f"the same again: --hub lab/net@{COMMIT}"


def test_only_what_fit_writes_is_downloaded(hub, trained):
    folder = from_hub("lab/net")
    assert set(hub.sent) == {"best.safetensors", "best.json", "README.md"}
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: hub.files[name] for name in set(hub.sent)
    }
    assert folder.name == COMMIT


def test_a_commit_that_is_there_needs_no_hub(hub, trained):
    folder = from_hub("lab/net")
    hub.files.clear()
    assert from_hub(f"lab/net@{COMMIT}") == folder


@pytest.mark.parametrize("name", ["best.safetensors", "README.md"])
def test_a_changed_byte_is_refused(hub, trained, name):
    content = bytearray(hub.files[name])
    content[-1] ^= 1
    hub.damaged[name] = bytes(content)
    with pytest.raises(WeightsProblem, match=rf"expected the file {name} with the hash .*download again"):
        from_hub("lab/net")


@pytest.mark.parametrize(
    ("repository", "message"),
    [
        ("lab/net", r"lab/net: expected best\.safetensors, .* found no best\.safetensors"),
        ("lab/net@v9", "lab/net@v9: cannot be downloaded .*404.*Revision Not Found"),
        ("lab/other", "lab/other: cannot be downloaded .*404.*Repository Not Found"),
        ("lab/ne t", "lab/ne t: cannot be downloaded .*Repo id must"),
        ("net", "expected OWNER/REPO or OWNER/REPO@REVISION .*, got 'net'"),
        ("https://huggingface.co/lab/net", "expected OWNER/REPO"),
    ],
)
def test_what_cannot_be_used(hub, repository, message):
    with pytest.raises(WeightsProblem, match=message):
        from_hub(repository)


def test_no_connection(hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsProblem, match="lab/net: cannot be downloaded from the Hugging Face hub"):
        from_hub("lab/net")


def test_weights_that_fit_did_not_write(hub, add_learned, capsys):
    add_learned("own")
    hub.files["best.safetensors"] = b"no weights"
    assert cli.main(["weights", "get", "--methods", "own", "--hub", "lab/net"]) == 2
    assert "damaged, or not a checkpoint of salbench" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--methods", "uniform", "--hub", "lab/net"], "uniform: expected a method that can be trained"),
        (["--methods", "lite"], "weights get: expected --hub OWNER/REPO"),
        (["--methods", "lite,simplenet", "--hub", "lab/net"], "expected one method"),
    ],
)
def test_words(hub, words, message, capsys):
    assert cli.main(["weights", "get", *words]) == 2
    assert message in capsys.readouterr().err
    assert hub.sent == []
