"""Doors: Gradio checks neither Host nor Origin, so a foreign page could teach. This middleware checks both.

Figures of what passes without it: ../shared/RELIABILITY.md 1.5. Opened to a network, it also asks for a token.
"""

import hmac
import json
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 2 << 20
"""Largest request body in bytes; a lesson has at most 4,000 characters."""
MAX_UPLOAD = 40 << 20
"""The same for a file that the window uploads: a conversation (`app.chat_files`), or lessons (`app.lessons_file`)."""
UPLOAD = "/gradio_api/upload"
MAX_AT_ONCE = 16
"""Requests of programs that are worked on or wait; the model computes one at a time, so more would only wait longer."""
_LIGHT = ("/v1/models", "/api/status", "/api/lessons", "/api/versions", "/api/diff", "/api/docs", "/api/static",
          "/api/openapi.json")  # fmt: skip
"""What programs read at little cost, however many they are; all else of theirs is work."""
COOKIE = "qfchat-{port}"
"""Name of the cookie; cookies do not tell ports apart, so each window of a computer has its own."""
_CLOSED = ("/proxy=", "/deep_link", "/monitoring")
_HEADERS = {
    b"content-security-policy": (
        b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        b"img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
        b"frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
    ),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
}


class Guard:
    """Lets in only requests to this address from this address's own pages; adds a content security policy.

    hosts: the addresses that are served. token: opened to a network; any address is served then, to those who have the
    token: as a cookie, which the address with `?token=…` gives, or as `Authorization: Bearer …`.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...], token: str | None = None) -> None:
        self._app, self._hosts, self._token = app, hosts, token
        self._at_once = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry point."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # the window needs no websocket
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        most = MAX_UPLOAD if scope.get("path") == UPLOAD else MAX_BODY
        refusal = self._refusal(headers, most) or _closed(scope.get("path", "/")) or self._stranger(scope, headers)
        if scope.get("path") == UPLOAD:
            receive = _bounded(receive, most)
        elif refusal is None:
            body = await _read(receive)
            refusal = _bad_body(body, headers.get(b"content-type", "").partition(";")[0].strip().lower())
            receive = _again(body, receive)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS.items()]
            await send(message)

        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        await self._take_turns(scope, receive, send_with_headers)

    async def _take_turns(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _is_work(scope):
            await self._app(scope, receive, send)
            return
        if self._at_once >= MAX_AT_ONCE:
            await _too_many()(scope, receive, send)
            return
        self._at_once += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._at_once -= 1

    def _refusal(self, headers: dict[bytes, str], most: int) -> PlainTextResponse | None:
        host = headers.get(b"host", "")
        if not self._token and host not in self._hosts:
            return PlainTextResponse("This address is not served here.", 400)
        origin = headers.get(b"origin")
        served = (host,) if self._token else self._hosts
        if origin is not None and origin not in {f"http://{name}" for name in served}:
            return PlainTextResponse("Requests from other pages are refused.", 403)
        if headers.get(b"sec-fetch-site", "none") not in ("same-origin", "none"):
            return PlainTextResponse("Requests from other pages are refused.", 403)
        length = headers.get(b"content-length", "0")
        if not length.isdecimal() or int(length) > most:
            return PlainTextResponse(f"A request may have at most {most} bytes.", 413)
        return None

    def _stranger(self, scope: Scope, headers: dict[bytes, str]) -> Response | None:
        """What somebody without the token gets; None for one who has it."""
        if not self._token:
            return None
        try:
            cookie = SimpleCookie(headers.get(b"cookie", "")).get(_cookie(scope))
        except CookieError:
            cookie = None
        bearer = headers.get(b"authorization", "").removeprefix("Bearer ")
        if self._is_token(cookie.value if cookie else "") or self._is_token(bearer):
            return None
        asked = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if scope["method"] == "GET" and self._is_token(asked):
            response = RedirectResponse(scope["path"] or "/", 303)  # the token leaves the address bar
            response.set_cookie(_cookie(scope), self._token, httponly=True, samesite="strict", path="/")
            return response
        return PlainTextResponse("Open QF Chat by the address with the token that its terminal shows.", 401)

    def _is_token(self, value: str) -> bool:
        return hmac.compare_digest(value.encode("utf-8", "replace"), (self._token or "").encode())


def _cookie(scope: Scope) -> str:
    return COOKIE.format(port=(scope.get("server") or ("", ""))[1])


def _closed(path: str) -> Response | None:
    """Gradio's routes that the window does not use: one fetches files from elsewhere, one reads what was uploaded."""
    if any(part in path for part in _CLOSED) or not path.isprintable():
        return PlainTextResponse("There is nothing here.", 404)
    return None


def _is_work(scope: Scope) -> bool:
    """Whether a program asks for something that the model computes, that reads whole files or that changes the knowledge."""
    path = scope.get("path", "/")
    if not path.startswith(("/v1/", "/api/")):
        return False
    light = any(path == name or path.startswith(f"{name}/") for name in _LIGHT)
    return not light or scope.get("method") not in ("GET", "HEAD", "OPTIONS")


def _too_many() -> Response:
    message = f"{MAX_AT_ONCE} requests are being worked on already. Wait for some of them, then try again."
    error = {"message": message, "type": "rate_limit_error", "param": None, "code": "too_many_requests"}
    return JSONResponse({"error": error}, 429, headers={"Retry-After": "2"})


def _bounded(receive: Receive, most: int) -> Receive:
    """A body that ends as if the other side went away when it is too big; one sent in chunks has no content-length."""
    received = 0

    async def bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        return {"type": "http.disconnect"} if received > most else message

    return bounded


async def _read(receive: Receive) -> bytes | None:
    """A body as a whole; None when it is too big or the other side went away."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            return None
        if not message.get("more_body"):
            return bytes(body)


def _again(body: bytes | None, receive: Receive) -> Receive:
    """A body that was read, to be read once more."""
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body or b"", "more_body": False}

    return again


def _bad_body(body: bytes | None, kind: str) -> PlainTextResponse | None:
    """What is no JSON, NaN, and halves of characters get past Gradio and break things further in."""
    if body is None:
        return PlainTextResponse(f"A request may have at most {MAX_BODY} bytes.", 413)
    if not body:
        return None
    if kind != "application/json":
        return PlainTextResponse("The content type application/json was expected.", 415)
    try:
        value = json.loads(body, parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:  # UnicodeError is a ValueError
        return PlainTextResponse(f"The request is no valid JSON ({type(error).__name__}).", 400)
    return None


def _refuse(constant: str) -> None:
    raise ValueError(constant)
