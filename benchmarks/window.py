"""What the window costs beside the model: drawing a growing answer, the first visible token, keys in a long conversation.

    python -m benchmarks.window [--model NAME_OR_PATH] [--rounds N]

Prints JSON. The first part needs no model: the server's own work for each drawing, with 2, 40 and 300 messages. The others
drive the real window in Chromium, on a home of its own.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path

import anyio
import orjson
from playwright.sync_api import Page, expect, sync_playwright

from qfcore.observe import student_messages
from qfcore.runtime.llama import LlamaRuntime
from qfcore.runtime.protocol import AnswerStats, Sampling
from tests.conftest import MODELS
from tests.journeys.driving import SLOW, bring_back, launch, new_chat, open_window, send, wait_for_answer
from tests.serving import serving

MESSAGES = (2, 40, 300)
DRAWINGS = 40
QUESTION = "Explain in about one hundred words how a bicycle stays upright."
WORDS = "Some words of text that an answer could hold. "


def conversation(count: int) -> list[dict]:
    """Messages of a usual length."""
    return [{"role": ("user", "assistant")[n % 2], "content": f"Message {n}. {WORDS * 8}"} for n in range(count)]


def drawing(count: int) -> dict[str, float]:
    """Milliseconds of the server's CPU for one drawing of an answer that grows, and kilobytes sent for it."""
    import gradio as gr

    with gr.Blocks(analytics_enabled=False) as page:
        messages = gr.Chatbot(group_consecutive_messages=False)
        gr.Button().click(lambda: None, None, messages)
    function, shown = page.fns[0], conversation(count)

    async def draw() -> tuple[float, int]:
        sent = 0
        started = time.process_time()
        for number in range(DRAWINGS):
            growing = [*shown, {"role": "assistant", "content": WORDS * (number + 1)}]
            data = await page.postprocess_data(function, growing, None)
            data = page.handle_streaming_diffs(function, data, session_hash="s", run="r", final=False)
            sent += len(orjson.dumps(data)) if number else 0
        return (time.process_time() - started) / DRAWINGS * 1e3, sent

    cpu, sent = anyio.run(draw)
    return {"cpu_ms": round(cpu, 2), "sent_kb": round(sent / (DRAWINGS - 1) / 1e3, 2)}


def first_alone(model: Path, rounds: int) -> float:
    """Median seconds to the first token of a fresh question, of the runtime alone."""
    runtime, seconds = LlamaRuntime(model), []
    for number in range(rounds):
        question = student_messages(f"{number}: {QUESTION}")
        *_, stats = runtime.stream(question, Sampling(0, max_tokens=2), stop=threading.Event())
        assert isinstance(stats, AnswerStats)
        seconds.append(stats.first_token_s)
    runtime.close()
    return statistics.median(seconds)


def first_visible(page: Page, rounds: int) -> float:
    """Median seconds from Enter to the first letters on the screen."""
    seconds = []
    for number in range(rounds):
        new_chat(page)
        started = time.monotonic()
        send(page, f"{number}: {QUESTION}")
        page.wait_for_function(
            "/[a-z]/i.test(document.querySelector('#chat-messages .message.bot')?.innerText ?? '')", timeout=SLOW
        )
        seconds.append(time.monotonic() - started)
        page.keyboard.press("Escape")
        wait_for_answer(page)
    return statistics.median(seconds)


def keys(page: Page, folder: Path) -> dict[str, float]:
    """Milliseconds from a key to the drawn letter, in a conversation of 300 messages: at rest and while it streams."""
    bring_back(page, folder, conversation(300))
    expect(page.locator("#chat-messages")).to_contain_text("Message 299", timeout=SLOW)
    rest = _typing(page)
    page.locator("#chat-box textarea").fill("")
    send(page, "Tell a story about a lighthouse.")
    expect(page.locator("#chat-messages .message.bot")).to_have_count(31, timeout=SLOW)  # the end of it is drawn
    expect(page.locator("#chat-meter")).to_contain_text("so far", timeout=SLOW)
    streaming = _typing(page)
    page.keyboard.press("Escape")
    return {"at_rest_ms": rest, "streaming_ms": streaming}


def _typing(page: Page) -> float:
    """Median milliseconds until the frame after the key's."""
    page.locator("#chat-box textarea").focus()
    page.evaluate(
        "() => { window.delays = []; document.querySelector('#chat-box textarea').addEventListener('keydown', () => {"
        " const t = performance.now();"
        " requestAnimationFrame(() => requestAnimationFrame(() => window.delays.push(performance.now() - t))); }); }"
    )
    for letter in "typed in a long conversation":
        page.keyboard.press("Space" if letter == " " else letter)
        page.wait_for_timeout(60)
    return round(statistics.median(page.evaluate("window.delays")), 1)


def main(model: str | None, rounds: int) -> dict:
    """All figures."""
    result: dict = {"drawing": {count: drawing(count) for count in MESSAGES}}
    if rounds:
        from qfcore.models.library import Library

        result["first_token_alone_s"] = round(first_alone(Library(MODELS).find(model).path, rounds), 2)
        arguments = ["--model", model] if model else []
        with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
            folder = Path(name)
            with serving(folder, folder / "log", *arguments) as address:
                browser = launch(playwright)
                page = browser.new_page(viewport={"width": 1280, "height": 860})
                open_window(page, address)
                result["first_visible_token_s"] = round(first_visible(page, rounds), 2)
                result["key_to_screen"] = keys(page, folder)
                browser.close()
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--rounds", type=int, default=3, help="0: only the drawing, without a model")
    chosen = parser.parse_args()
    print(json.dumps(main(chosen.model, chosen.rounds), indent=2))
