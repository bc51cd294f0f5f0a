"""The web server around the page: headers, quotas, sessions that are over, and websites that ask for it."""

import asyncio
import random
import subprocess
import sys
from types import SimpleNamespace

import pytest
from served_page import connects, memory_holds, serve
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from streamlit import net_util
from streamlit.runtime import Runtime, RuntimeConfig
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from vision_app.ui import server

pytestmark = pytest.mark.slow


@pytest.fixture
def prepared(monkeypatch):
    """What starts the page, without effects on other tests."""
    for name in ("get_external_ip", "get_internal_ip"):
        monkeypatch.setattr(net_util, name, None)
    monkeypatch.setattr(MultiPartParser, "spool_max_size", 1)
    monkeypatch.setattr(server, "configure_malloc", lambda: None)
    return server.options()


def test_websites_cannot_connect_and_make_the_server_ask_nobody():
    with serve() as address:  # and checks whom the server asks
        for origin in ("http://evil.example", "https://8.8.8.8", "http://[2001:db8::1]:80", "null", "x", ""):
            assert not connects(address, origin), origin
        rebound = address.replace("127.0.0.1", "evil.example")
        assert not connects(address, rebound, "evil.example")
        assert not connects(address, str(address), "evil.example")
        assert connects(address, str(address))


def test_an_upload_stays_in_memory_while_it_arrives(prepared):
    async def body():
        yield b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.jpg"\r\n\r\n'
        for _ in range(20):
            yield bytes(2**20)
        yield b"\r\n--x--\r\n"

    headers = Headers({"content-type": "multipart/form-data; boundary=x"})
    form = asyncio.run(MultiPartParser(headers, body()).parse())
    assert form["f"].size == 20 * 2**20
    assert not form["f"].file._rolled


@pytest.fixture
def runtime(monkeypatch):
    """Streamlit's own parts as they are when the page is served, without a server around them."""
    monkeypatch.setattr(Runtime, "_instance", None)
    storage, uploads = MemoryMediaFileStorage("/media"), MemoryUploadedFileManager("/upload")
    return Runtime(RuntimeConfig("app.py", storage, uploads))


def test_streamlit_has_the_private_parts_that_the_clean_up_looks_into(runtime):
    async def visit_and_leave():
        runtime._async_objs = SimpleNamespace(
            eventloop=asyncio.get_running_loop(), has_connection=asyncio.Event(), need_send_data=asyncio.Event()
        )
        key = runtime.connect_session(SimpleNamespace(write_forward_msg=None), {})
        session = runtime._session_mgr.get_session_info(key).session
        session._session_state["photo"] = "secret"
        for owner in (key, "nobody"):
            runtime.uploaded_file_mgr.add_file(owner, UploadedFileRec("1", "a.jpg", "image/jpeg", b"secret"))
        lost = {}
        assert not server.sweep(runtime, lost, 0) and [*server._uploads()] == [key]  # what arrived for nobody is gone
        runtime.disconnect_session(key)
        assert not server.sweep(runtime, lost, 1) and [*lost] == [key]
        assert server.sweep(runtime, lost, 1 + server.SESSION_GRACE)
        assert not server._uploads() and "photo" not in session._session_state and session._browser_queue.is_empty()

    asyncio.run(visit_and_leave())
    assert callable(net_util.get_external_ip) and callable(net_util.get_internal_ip)
    assert isinstance(MultiPartParser.spool_max_size, int)


def test_uploads_are_refused_where_streamlit_hides_them(prepared, runtime, monkeypatch):
    del runtime.uploaded_file_mgr.file_storage
    scope = {"type": "http", "method": "PUT", "path": "/_stcore/upload_file/a/1", "headers": []}
    with pytest.raises(AttributeError, match="file_storage"):
        asyncio.run(prepared["middleware"][1].cls(None)(scope, None, None))


@pytest.fixture
def stored(monkeypatch):
    """The uploads that the server holds, by session and id."""
    files = {}
    runtime = SimpleNamespace(uploaded_file_mgr=SimpleNamespace(file_storage=files))
    monkeypatch.setattr(server, "get_instance", lambda: runtime)
    return files


@pytest.fixture
def client(prepared, stored):
    """A visitor of a server that takes everything that the middleware lets through."""

    async def take(request):
        await request.body()
        return PlainTextResponse("taken")

    route = Route("/{path:path}", take, methods=["GET", "PUT"])
    app = Starlette(routes=[route], middleware=prepared["middleware"])

    def ask(method: str, path: str) -> tuple[int, Headers, str]:
        answered = []

        async def receive():
            return {"type": "http.request", "body": b"x"}

        async def send(message):
            answered.append(message)

        scope = {"type": "http", "method": method, "path": path, "headers": [(b"content-length", b"1")]}
        asyncio.run(app(scope, receive, send))
        start, body = answered[:2]
        return start["status"], Headers(raw=start["headers"]), body["body"].decode()

    return ask


@pytest.mark.parametrize("path", ["/", "/media/x.png", "/_stcore/upload_file/a/1"])
def test_every_answer_forbids_frames_sniffing_and_other_websites(client, path):
    _, headers, _ = client("GET", path)
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "SAMEORIGIN"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "frame-ancestors 'self'" in headers["Content-Security-Policy"]


def held(megabytes: int) -> SimpleNamespace:
    return SimpleNamespace(data=range(megabytes * 10**6))


def test_uploads_are_refused_beyond_the_quota_of_a_visit_and_of_all(client, stored):
    def put(session: str) -> int:
        return client("PUT", f"/_stcore/upload_file/{session}/1")[0]

    assert put("a") == 200
    stored["a"] = {str(number): held(50) for number in range(6)}
    assert (put("a"), put("b")) == (413, 200)
    stored["a"].popitem()
    assert put("a") == 200
    stored |= {f"s{number}": {"1": held(250)} for number in range(7)}
    assert put("b") == 503
    assert "busy with other visitors" in client("PUT", "/_stcore/upload_file/b/1")[2]
    assert client("GET", "/")[0] == 200


def test_uploads_that_arrive_at_the_same_time_count(prepared, stored):
    quota = prepared["middleware"][1].cls
    answers = []

    async def main():
        release, entered = asyncio.Event(), []

        async def slow(scope, receive, send):
            entered.append(1)
            await release.wait()

        async def send(message):
            if message["type"] == "http.response.start":
                answers.append(message["status"])

        app = quota(slow)
        size = str(20 * 10**6).encode()
        scope = {
            "type": "http",
            "method": "PUT",
            "path": "/_stcore/upload_file/a/1",
            "headers": [(b"content-length", size)],
        }
        tasks = [asyncio.create_task(app(dict(scope), None, send)) for _ in range(20)]
        await asyncio.sleep(0.01)
        assert len(entered) == server.SESSION_QUOTA // 20
        release.set()
        await asyncio.gather(*tasks)
        assert not app.arriving

    asyncio.run(main())
    assert answers == [413] * (20 - server.SESSION_QUOTA // 20)


class FakeRuntime:
    """Sessions by id, connected or not, and what was deleted of them."""

    def __init__(self, stored):
        self.sessions, self.active, self.removed = {}, set(), []
        self._session_mgr = SimpleNamespace(
            list_sessions=lambda: [SimpleNamespace(session=s) for s in self.sessions.values()]
        )
        self.uploaded_file_mgr = SimpleNamespace(file_storage=stored, remove_session_files=lambda key: stored.pop(key))
        self.media_file_mgr = SimpleNamespace(remove_orphaned_files=lambda: self.removed.append("media"))

    def is_active_session(self, key):
        return key in self.active

    def close_session(self, key):
        del self.sessions[key]
        self.removed.append(key)


def test_a_session_ends_after_it_was_without_connection_for_a_while(stored):
    runtime, lost = FakeRuntime(stored), {}
    for key in "abc":
        runtime.sessions[key] = SimpleNamespace(id=key, _session_state="photos", _browser_queue=["photo"])
    gone, runtime.active = runtime.sessions["b"], {"a", "c"}
    stored |= {"b": {}, "never": {}}
    assert not server.sweep(runtime, lost, 100) and runtime.removed == ["media"]
    assert [*stored] == ["b"]  # what arrives for nobody goes at once
    runtime.active = {"a"}
    assert not server.sweep(runtime, lost, 110)
    runtime.active = {"a", "c"}  # it is back
    assert server.sweep(runtime, lost, 100 + server.SESSION_GRACE)
    assert [*runtime.sessions] == ["a", "c"] and "b" in runtime.removed and lost == {}
    assert gone._session_state != "photos" and not gone._browser_queue._queue
    assert not server.sweep(runtime, lost, 200)


FREES = """
import random
from vision_app.ui import server

server.configure_malloc()
rng = random.Random(7)
kept = [[rng.randbytes(size) for _ in range(20)] for size in (2000, 20_000, 60_000, 300_000)]
print(flush=True)
input()
for blocks in kept:
    del blocks[::2]  # their neighbors keep the pages that they share
server.collect_garbage()
print(flush=True)
input()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process")
def test_what_is_freed_is_not_in_memory_any_more():
    rng = random.Random(7)
    blocks = [[rng.randbytes(size) for _ in range(20)] for size in (2000, 20_000, 60_000, 300_000)]
    freed, kept = (
        {mark for some in blocks for one in some[start::2] for mark in (one[16:80], one[-80:-16])} for start in (0, 1)
    )
    with subprocess.Popen([sys.executable, "-c", FREES], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        assert memory_holds(child.pid, freed | kept) == freed | kept
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        assert memory_holds(child.pid, freed | kept) == kept
        child.communicate(b"\n")
