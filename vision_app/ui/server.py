"""The web server around the page: what it answers to whom, and how long it keeps what visitors gave it.

Streamlit serves the page; its `App` takes what is here. Streamlit shows a session to its own parts only, so that this
is the one file that looks into them.
"""

import asyncio
import ctypes
import gc
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.formparsers import MultiPartParser
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import net_util
from streamlit.runtime import Runtime, get_instance
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.state import SessionState
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from vision_app.core.memory import trim_heap
from vision_app.ui.images import SESSION_QUOTA

PAGE = Path(__file__).with_name("app.py")  # the script that Streamlit runs for each visitor
LOGGER = logging.getLogger(__name__)
SESSION_GRACE = 15.0  # seconds that a session outlives its connection: a short break loses nothing
SWEEP_INTERVAL = 3.0  # seconds from one look for such sessions to the next
TOTAL_QUOTA = 2000  # megabytes of uploads of all visitors
M_MMAP_THRESHOLD, M_PERTURB, M_ARENA_MAX = -3, -6, -8  # of malloc.h
UPLOADS = "/_stcore/upload_file/"
HEADERS = {
    # No other website may show the page in a frame, or use its images; the page loads nothing from elsewhere.
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'",
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


def options() -> dict[str, Any]:
    """Prepare this process to serve the page, and return the arguments of Streamlit's `App`."""
    # Asked by a foreign website, Streamlit would ask a server in the internet for the address of this machine and then
    # allow that origin. Only the origins of the settings and those of the page itself are allowed.
    net_util.get_external_ip = net_util.get_internal_ip = lambda: None
    # An upload above 1 MB would be kept in a temporary file while it arrives. Photos stay in memory here: allow as much
    # as an upload may be, and a little for the form around it.
    MultiPartParser.spool_max_size = (st.get_option("server.maxUploadSize") + 1) * 2**20
    configure_malloc()
    middleware = [Middleware(SafeHeaders), Middleware(UploadQuota)]
    return {"script_path": PAGE, "middleware": middleware, "lifespan": lifespan}


class SafeHeaders:
    """Adds HEADERS to every answer."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, send_safely)


class UploadQuota:
    """Refuses uploads beyond the quota of their session or of all sessions, those included that are arriving."""

    def __init__(self, app: ASGIApp):
        self.app = app
        self.arriving: Counter[str] = Counter()  # bytes by session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] != "PUT" or UPLOADS not in scope["path"]:
            await self.app(scope, receive, send)
            return
        session = scope["path"].partition(UPLOADS)[2].partition("/")[0]
        size = int(Headers(scope=scope).get("content-length", MultiPartParser.spool_max_size))
        stored = {key: sum(len(one.data) for one in files.values()) for key, files in _uploads().items()}
        if stored.get(session, 0) + self.arriving[session] + size > SESSION_QUOTA * 10**6:
            answer = PlainTextResponse(f"at most {SESSION_QUOTA} MB of images per visit; remove some first", 413)
        elif sum(stored.values()) + self.arriving.total() + size > TOTAL_QUOTA * 10**6:
            answer = PlainTextResponse("the page is busy with other visitors' images; try again in a moment", 503)
        else:
            self.arriving[session] += size
            try:
                await self.app(scope, receive, send)
            finally:
                self.arriving -= Counter({session: size})  # without entries that fall to zero
            return
        await answer(scope, receive, send)


@asynccontextmanager
async def lifespan(app: object) -> AsyncIterator[None]:
    """Look for sessions that are over while the page is served."""
    sweeping = asyncio.create_task(_sweep_forever())
    yield
    sweeping.cancel()


async def _sweep_forever() -> None:
    lost: dict[str, float] = {}
    while True:
        await asyncio.sleep(SWEEP_INTERVAL)
        over = True
        try:
            over = sweep(get_instance(), lost, time.monotonic())
        except Exception:  # whatever it was, later visits are to be deleted
            LOGGER.exception("clean-up failed; images of ended visits may still be served")
        if over:
            await asyncio.to_thread(collect_garbage)


def sweep(runtime: Runtime, lost: dict[str, float], now: float) -> bool:
    """Delete what belongs to sessions that lost their connection SESSION_GRACE seconds ago or before.

    Streamlit itself does that once another visitor comes.

    Args:
        runtime: Of the server.
        lost: When each session without a connection was first seen so, by its id; brought up to date.
        now: The time in seconds.

    Returns:
        Whether there was a session to end.
    """
    known = {info.session.id: info.session for info in runtime._session_mgr.list_sessions()}
    missing = {key: lost.get(key, now) for key in known if not runtime.is_active_session(key)}
    over = [key for key, since in missing.items() if now - since >= SESSION_GRACE]
    for key in over:
        runtime.close_session(key)
        session = known.pop(key)  # which the loop of the server may still hold
        session._session_state, session._browser_queue = SessionState(), ForwardMsgQueue()
    lost.clear()
    lost.update((key, since) for key, since in missing.items() if key in known)
    for key in {*_uploads()} - {*known}:  # they arrived too late
        runtime.uploaded_file_mgr.remove_session_files(key)
    runtime.media_file_mgr.remove_orphaned_files()  # the first time, downloads are only marked
    return bool(over)


def configure_malloc() -> None:
    """Let freed images go back to the system at once, where that can be told to: their bytes would stay in memory.

    Large blocks have pages of their own. Of others, the pages that they share with what is still in use stay: their
    bytes are overwritten when they are freed.
    """
    with suppress(OSError, AttributeError):  # the C library of most Linux systems has it
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 2**16)
        mallopt(M_PERTURB, 255)  # overwrites with it what is freed
        mallopt(M_ARENA_MAX, 1)  # one that `collect_garbage` can trim


def collect_garbage() -> None:
    """Free what nobody refers to, and give it back to the system, see `configure_malloc`."""
    gc.collect()
    trim_heap()


def _uploads() -> dict[str, dict[str, UploadedFileRec]]:
    """Return the uploaded files by session and id."""
    return cast("MemoryUploadedFileManager", get_instance().uploaded_file_mgr).file_storage
