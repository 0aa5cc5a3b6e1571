"""A file of lessons that is being studied: on a thread of its own, so that every tab can follow it, also after a reload."""

import threading
from collections.abc import Callable, Iterator, Sequence

from app import words
from qfcore.bulk import LessonState
from qfcore.errors import QFError, RuntimeFailure
from qfcore.lesson import Lesson
from qfcore.runtime.protocol import Progress
from qfcore.teach import Preview

SECONDS_BETWEEN = 0.3
"""How often the state is drawn."""
STOP_SECONDS = 20

Work = Callable[[Progress, Callable[[LessonState], None], threading.Event], tuple[Preview, list[LessonState]]]
"""Studies the lessons; tells its progress, what became of each lesson, and stops when the event is set."""


class Study:
    """One file's lessons. `states` grows; at the end there is a `preview`, or an `error` in words."""

    def __init__(self, lessons: Sequence[Lesson], method: str) -> None:
        self.lessons, self.method = list(lessons), method
        self.of = len({lesson.id for lesson in lessons})
        self.states: list[LessonState] = []
        self.fraction, self.text = 0.0, words.WORKING
        self.preview: Preview | None = None
        self.number: int | None = None
        self.error: QFError | None = None
        self._cancel, self._ended = threading.Event(), threading.Event()

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return not self._ended.is_set()

    def begin(self, work: Work, keep: Callable[[Preview], int]) -> None:
        """Start the work; `keep` gives its preview a number that can be applied."""
        threading.Thread(target=self._work, args=(work, keep), name="study", daemon=True).start()

    def _work(self, work: Work, keep: Callable[[Preview], int]) -> None:
        try:
            self.preview, self.states = work(self._tell, self.states.append, self._cancel)
            self.number = keep(self.preview)
        except QFError as error:
            self.error = error
        except BaseException:
            self.error = RuntimeFailure(words.STUDY_FAILED)
            raise
        finally:
            self._ended.set()

    def _tell(self, fraction: float, text: str) -> None:
        self.fraction, self.text = fraction, text

    def follow(self) -> Iterator[None]:
        """Whenever something changed, until it ends."""
        seen = None
        while not self._ended.wait(SECONDS_BETWEEN):
            if (now := (len(self.states), self.fraction, self.text)) != seen:
                seen = now
                yield

    def stop(self, *, wait: float = 0) -> None:
        """End after the step in progress and wait so many seconds for it; what was studied is kept."""
        self._cancel.set()
        self._ended.wait(wait)
