"""Long work for a client that may go away."""

import threading
from collections.abc import Callable
from typing import TypeVar

import anyio
from fastapi import Request

from qfcore.errors import QFError

LOOK_SECONDS = 0.5
"""How often it is looked whether the client is still there."""

T = TypeVar("T")


async def while_connected(
    request: Request, work: Callable[[threading.Event], T], gone: threading.Event | None = None
) -> T:
    """`work` on a thread; the event that it gets is set when the client goes away.

    gone: an event of the caller's, which is left as it is when the work ends by itself.

    Raises:
        QFError: what the work raised.
    """
    own = gone is None
    gone = gone or threading.Event()

    async def look() -> None:
        while not await request.is_disconnected():
            await anyio.sleep(LOOK_SECONDS)
        gone.set()

    failed: QFError | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        try:
            return await anyio.to_thread.run_sync(work, gone)
        except QFError as error:  # raised inside, a task group would wrap it
            failed = error
        finally:
            if own:
                gone.set()
            tasks.cancel_scope.cancel()
    raise failed
