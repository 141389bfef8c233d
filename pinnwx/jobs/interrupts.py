"""SIGINT and SIGTERM end a job at its next safe point, after saving, instead of at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from pinnwx.errors import PinnwxError


class Interrupted(PinnwxError):
    """The job was asked to stop and has saved its state."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number


class Interrupts:
    """Remembers the signals that arrive inside its `with` block; a second SIGINT interrupts at once.

    Outside the main thread (some notebooks, servers) signals cannot be caught, and nothing is changed.
    """

    def __enter__(self) -> Interrupts:
        self._arrived: int | None = None
        self._previous = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _remember(self, number: int, _: FrameType | None) -> None:
        if self._arrived is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._arrived = number

    def arrived(self) -> bool:
        return self._arrived is not None

    def raise_for(self, remedy: str) -> None:
        """Raises:
        Interrupted: naming the signal, and how to go on.
        """
        number = self._arrived or signal.SIGINT
        raise Interrupted(f"stopped by {signal.Signals(number).name}; {remedy}", number)
