"""What browsers see while the model is prepared."""

import socket

import httpx
import pytest

from app.server import HOST, check_port
from app.waiting import hosts_of, waiting_room
from tests.serving import free_port


def test_a_browser_sees_how_far_the_start_is_and_the_port_is_free_afterwards() -> None:
    port, said = free_port(), []
    with waiting_room(HOST, port, lambda *told: said.append(told)) as tell, httpx.Client(
        base_url=f"http://{HOST}:{port}"
    ) as browser:
        assert browser.get("/api/status").json() == {"preparing": "Starting"}
        tell(0.375, "Replaying <ordinary> chats: 90 of 240")
        status, page = browser.get("/api/status"), browser.get("/?x=1")
        assert (status.status_code, page.status_code) == (503, 503)
        assert status.json() == {"preparing": "Replaying <ordinary> chats: 90 of 240 (38%)"}
        assert "Replaying &lt;ordinary&gt; chats: 90 of 240 (38%)" in page.text
        assert "no-store" in page.headers["cache-control"]
        assert browser.get("/", headers={"Host": "evil.example"}).status_code == 403
        refused = browser.post("/api/lessons", json={"text": "x" * 10_000})
        assert refused.status_code == 503 and refused.headers["retry-after"] == "1"
        assert browser.put("/api/tags/a").status_code == 501
    assert said == [(0.375, "Replaying <ordinary> chats: 90 of 240")]
    check_port(port)


def test_an_error_of_the_start_is_passed_on_and_frees_the_port() -> None:
    port = free_port()
    with pytest.raises(RuntimeError), waiting_room(HOST, port, lambda *_: None):
        raise RuntimeError
    check_port(port)


def test_a_port_that_was_taken_meanwhile_does_not_end_the_start() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        said = []
        with waiting_room(HOST, taken.getsockname()[1], lambda *told: said.append(told)) as tell:
            tell(0.0, "Loading")
        assert said == [(0.0, "Loading")]


def test_at_port_80_browsers_leave_the_port_out() -> None:
    assert hosts_of(HOST, 80) == (f"{HOST}:80", "localhost:80", HOST, "localhost")
    assert hosts_of(HOST, 7860) == (f"{HOST}:7860", "localhost:7860")
