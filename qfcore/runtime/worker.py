"""One thread owns the model; everything it does stands in one queue, so a swap happens between answers."""

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

from qfcore.errors import RuntimeFailure

T = TypeVar("T")
_END = object()


class Worker:
    """Runs functions one after another on a thread of its own."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def call(self, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Run on the owner thread and wait for the result; its exceptions are raised here."""
        if threading.current_thread() is self._thread:
            return function(*arguments, **named)
        future: Future[T] = Future()

        def job() -> None:
            try:
                future.set_result(function(*arguments, **named))
            except BaseException as error:  # noqa: BLE001 - handed to the caller, whose error it is
                future.set_exception(error)

        self._put(job)
        return future.result()

    def stream(self, function: Callable[[Callable[[Any], None]], None]) -> Iterator[Any]:
        """Run `function(emit)` on the owner thread and yield here what it emits."""
        pieces: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def job() -> None:
            try:
                function(pieces.put)
                pieces.put(_END)
            except BaseException as error:  # noqa: BLE001 - raised again at the reader
                pieces.put(error)

        self._put(job)
        while (piece := pieces.get()) is not _END:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def close(self, last: Callable[[], None]) -> None:
        """Run `last` after all that waits, then end the thread. A second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._jobs.put(last)
        self._jobs.put(_END)
        self._thread.join(timeout=30)

    def _put(self, job: Callable[[], None]) -> None:
        with self._lock:
            if self._closed:
                raise RuntimeFailure("The model has been closed. Start QF Chat again.")
            self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not _END:
            job()
