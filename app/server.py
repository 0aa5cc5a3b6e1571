"""Serving the window: on this computer only, or, when asked, to a network behind a token."""

import asyncio
import contextlib
import errno
import importlib
import importlib.metadata
import logging
import os
import secrets
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import quote

from app import words
from app.beside import Address, announced
from app.choice import Choice, read_choice, remember_choice
from app.restart import TOKEN_VARIABLE, begin_anew
from app.waiting import hosts_of, waiting_room
from qfcore.errors import ModelError, NotFound, PortInUse, QFError, RuntimeFailure, StoreBusy, StoreCorrupt
from qfcore.settings import Paths

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

    from app.session import Session
    from qfcore.engine import Engine

HOST = "127.0.0.1"
SHORTEST_TOKEN = 16
LARGEST_FILE = "36mb"
"""What Gradio lets in; more than `app.chat_files` takes, which says what to do, and less than `app.guard` takes."""


def quiet_environment(paths: Paths) -> None:
    """Turn off every contact with the outside; must run before gradio is imported."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["GRADIO_RUN_HISTORY"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(paths.uploads)


def check_port(port: int, host: str = HOST) -> None:
    """Say so before the model is loaded when the port is taken.

    Raises:
        PortInUse: another program listens there, or this computer does not have the address.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                why = error.strerror or error
                raise PortInUse(f"{host}:{port} cannot be opened: {why}. Choose another --host or --port.") from error
            raise PortInUse(
                f"Port {port} is taken by another program, maybe another QF Chat. "
                f"Close it, or choose another port: qfchat run --port {port + 1 if port < 65535 else port - 1}"
            ) from error


def build_app(session: "Session", port: int, token: str | None = None) -> "FastAPI":
    """The web application over a session: guard, page, interface for programs, nothing else."""
    import gradio as gr
    from fastapi_offline import FastAPIOffline

    from app.api.failures import handle_failures
    from app.api.files import files_router
    from app.api.knowledge import knowledge_router
    from app.api.openai import openai_router
    from app.guard import Guard
    from app.page import build_page
    from app.theme import shortcuts, style, theme
    from qfcore.assets import assets_folder

    page = build_page(session)
    page.queue(max_size=64)
    application = FastAPIOffline(  # its pages load nothing from outside
        title=words.TITLE, version=importlib.metadata.version("qfchat"), description=words.API_DESCRIPTION,
        openapi_url="/api/openapi.json", docs_url="/api/docs", redoc_url=None, static_url="/api/static",
        favicon_url="/favicon.ico",
    )  # fmt: skip
    handle_failures(application)
    for router in (openai_router(session), knowledge_router(session), files_router(session)):
        application.include_router(router)
    application = gr.mount_gradio_app(
        application, page, path="/", run_history=False, footer_links=[], enable_monitoring=False, show_error=True,
        ssr_mode=False, max_file_size=LARGEST_FILE, pwa=True, favicon_path=str(assets_folder() / "icon.svg"),
        theme=theme(), css=style(), js=shortcuts(),
        blocked_paths=[str(session.engine.paths.home)],
    )  # fmt: skip
    application.add_middleware(Guard, hosts=hosts_of(HOST, port), token=token)
    return application


def serve(
    *, home: str | Path | None = None, model: str | None = None, host: str = HOST, port: int = 7860,
    open_browser: bool = True, native: bool = False,
) -> None:  # fmt: skip
    """Load the model, prepare it, and serve until Ctrl-C. Any host but this computer's own needs a token, which is shown.

    native: in a window of its own (the extra `window`) instead of the browser; closing it ends the app.

    Raises:
        PortInUse: another program listens on the port. Further: see Engine.open.
    """
    webview = _webview() if native else None
    check_port(port, host)
    paths = Paths.find(home)
    paths.prepare()
    quiet_environment(paths)
    # Whoever is let in by a token only finds nobody before the window is there.
    with waiting_room(host, port, _console()) if host == HOST else contextlib.nullcontext(_console()) as say:
        session = _prepared(paths, model, say)
    engine = session.engine
    try:
        _run(session, host, port, open_browser, webview)
    finally:
        session.answering.close()
        session.desk.close()
        session.shelf.close()
        engine.close()
    if session.restart.wanted:
        begin_anew()


def _prepared(paths: Paths, model: str | None, say: Callable[[float, str], None]) -> "Session":
    """A session on the model, which is ready to be taught if it can be."""
    from app.session import Session

    engine, opened = _open(paths, model, say)
    try:
        if engine.cannot_teach:
            sys.stderr.write(f"\r{engine.cannot_teach}\033[K\n")
        else:
            engine.prepare(say)
    except BaseException:
        engine.close()
        raise
    return Session(engine, opened)


def _open(paths: Paths, model: str | None, say: Callable[[float, str], None]) -> "tuple[Engine, str | None]":
    """The engine, and the name by which its model was opened: the one given, else the one that the home remembers.

    Where a remembered one cannot be opened, that is told, and the one before is opened instead; it is remembered from then
    on, unless another program only uses the chosen one's knowledge just now.
    """
    from qfcore.engine import Engine

    choice = read_choice(paths)
    if model is not None or choice.name is None:
        return Engine.open(home=paths.home, model=model, on_progress=say), model
    try:
        return Engine.open(home=paths.home, model=choice.name, on_progress=say), choice.name
    except (ModelError, NotFound, RuntimeFailure, StoreBusy, StoreCorrupt) as error:
        sys.stderr.write(f"\r{words.CHOICE_FAILED.format(name=choice.name, why=error)}\033[K\n")
        lasting = not isinstance(error, StoreBusy)
    before = choice.before if choice.before != choice.name else None
    if lasting:
        remember_choice(paths, Choice(before))
    return Engine.open(home=paths.home, model=before, on_progress=say), before


def _run(session: "Session", host: str, port: int, open_browser: bool, webview: ModuleType | None) -> None:
    import uvicorn

    token = None if host == HOST else _token()
    url = f"http://{HOST if host == HOST else _shown(host)}:{port}" + (f"/?token={quote(token, safe='')}" if token else "")
    config = uvicorn.Config(
        build_app(session, port, token), host=host, port=port, log_level="warning", timeout_graceful_shutdown=2,
        access_log=False,
    )  # fmt: skip
    sys.stderr.write(f"\rQF Chat is ready at {url}  (Ctrl-C ends it)\033[K\n")
    if token:
        sys.stderr.write(
            "It is open to the network: whoever has this address can read, teach and export. The traffic is not encrypted.\n"
        )
    sys.stderr.flush()
    logging.getLogger("uvicorn.error").addFilter(_no_cut_stream)
    server = uvicorn.Server(config)
    shown = HOST if host in ("0.0.0.0", "::", HOST) else f"[{host}]" if ":" in host else host
    here = Address(f"http://{shown}:{port}", token, session.engine.store.model.sha256)
    with announced(session.engine.paths, here):
        _serve(session, server, url, token, open_browser, webview)


def _serve(
    session: "Session", server: "uvicorn.Server", url: str, token: str | None, open_browser: bool, webview: ModuleType | None
) -> None:  # fmt: skip
    """Serve until the end: in a native window, or for browsers."""
    if webview is not None:
        _run_native(server, webview, url, session.engine.paths.home / "native")
        return
    session.restart.offer(lambda: setattr(server, "should_exit", True), token)
    if open_browser:
        threading.Timer(1.0, webbrowser.open, [url]).start()
    warm_up = threading.Timer(5.0, importlib.import_module, ["qfcore.solve"])  # torch, before the first lesson needs it
    warm_up.daemon = True
    warm_up.start()
    server.run()


def _webview() -> ModuleType:
    """The library that draws a native window; said before the model is loaded when it is missing."""
    try:
        import webview
    except ImportError as error:
        raise QFError("A native window needs the extra `window`: pip install 'qfchat[window]'.") from error
    return webview


def _no_cut_stream(record: logging.LogRecord) -> bool:
    """False for what uvicorn says of a tab's open stream that the end cuts: an open tab is no error."""
    cut = record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not cut and "timeout graceful shutdown exceeded" not in record.getMessage()


def _run_native(server: "uvicorn.Server", webview: ModuleType, url: str, storage: Path) -> None:
    """Serve on a thread; the window needs the main one. storage: where it keeps its look and the open conversation."""
    thread = threading.Thread(target=server.run, name="server", daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.05)
    webview.settings["ALLOW_DOWNLOADS"] = True  # conversations are saved as files
    webview.create_window("QF Chat", url, width=1200, height=820, text_select=True)
    webview.start(private_mode=False, storage_path=str(storage))
    server.should_exit = True
    thread.join(timeout=10)


def _token() -> str:
    token = os.environ.get(TOKEN_VARIABLE) or secrets.token_urlsafe(24)
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise QFError(f"{TOKEN_VARIABLE} must have at least {SHORTEST_TOKEN} plain characters. Unset it to get a new one.")
    return token


def _shown(host: str) -> str:
    """An address that another computer can use."""
    return socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host


def _console() -> Callable[[float, str], None]:
    last = ""

    def say(fraction: float, text: str) -> None:
        nonlocal last
        line = f"{fraction:4.0%}  {text}"
        if line != last:
            last = line
            sys.stderr.write(f"\r{line}\033[K")
            sys.stderr.flush()

    return say
