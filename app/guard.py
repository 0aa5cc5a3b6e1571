"""Doors: Gradio checks neither Host nor Origin, so a foreign page could teach. This middleware checks both.

Figures of what passes without it: ../shared/RELIABILITY.md 1.5.
"""

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 2 << 20
"""Largest request body in bytes; a lesson has at most 4,000 characters."""
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
    """Lets in only requests to this address from this address's own pages; adds a content security policy."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...]) -> None:
        self._app, self._hosts = app, hosts
        self._origins = tuple(f"http://{host}" for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry point."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # the window needs no websocket
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(headers)
        if refusal is not None:
            await refusal(scope, receive, send)
            return

        received = 0

        async def bounded_receive() -> Message:  # a body sent in chunks has no content-length
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY:
                return {"type": "http.disconnect"}
            return message

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS.items()]
            await send(message)

        await self._app(scope, bounded_receive, send_with_headers)

    def _refusal(self, headers: dict[bytes, str]) -> PlainTextResponse | None:
        if headers.get(b"host", "") not in self._hosts:
            return PlainTextResponse("This address is not served here.", 400)
        origin = headers.get(b"origin")
        if origin is not None and origin not in self._origins:
            return PlainTextResponse("Requests from other pages are refused.", 403)
        if headers.get(b"sec-fetch-site", "none") not in ("same-origin", "none"):
            return PlainTextResponse("Requests from other pages are refused.", 403)
        length = headers.get(b"content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY:
            return PlainTextResponse(f"A request may have at most {MAX_BODY} bytes.", 413)
        return None
