"""Ctrl-C that waits until the state of a training is whole."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interruption:
    """While it is entered, the first Ctrl-C (SIGINT) only sets `asked`; a second one raises KeyboardInterrupt.

    Does nothing outside the main thread, where Python allows no handlers, and where SIGINT is ignored, as a shell
    has it for jobs in the background. SIGTERM keeps its meaning: at once, to go on from the last checkpoint.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            # None: one that was not set from Python, and that Python could not set again
            if handler is not None and handler is not signal.SIG_IGN:
                self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
