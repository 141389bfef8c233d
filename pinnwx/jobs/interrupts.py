"""Handles SIGINT, SIGTERM, SIGHUP and SIGQUIT: a job saves its state and ends at its next safe point."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType

from pinnwx.errors import PinnwxError

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)]
_STDERR = 2


class Interrupted(PinnwxError):
    """The job stopped after a signal and saved its state; the exit code is 128 plus the number of the signal."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number


class Interrupts:
    """Records the first signal inside its `with` block; further signals do not interrupt the saving.

    Each signal writes a line to stderr with the current activity `doing`. SIGHUP stays ignored if it was (`nohup`).
    Outside the main thread (some notebooks and servers), signals cannot be handled, and nothing changes.
    """

    def __init__(self, doing: str = "saving") -> None:
        self._doing = doing
        self._arrived: int | None = None
        self._previous = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if number == getattr(signal, "SIGHUP", None) and signal.getsignal(number) == signal.SIG_IGN:
                    continue
                self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _remember(self, number: int, _: FrameType | None) -> None:
        again = self._arrived is not None
        self._arrived = number if self._arrived is None else self._arrived
        line = f"pinnwx: {signal.Signals(number).name}: {'still ' * again}{self._doing}, please wait\n"
        with contextlib.suppress(OSError):  # the terminal may be gone
            os.write(_STDERR, line.encode())  # not through the stream, which the signal may have interrupted

    def arrived(self) -> bool:
        return self._arrived is not None

    def raise_for(self, remedy: str) -> None:
        """Raises:
        Interrupted: the message names the signal and the way to continue.
        """
        number = self._arrived or signal.SIGINT
        raise Interrupted(f"stopped by {signal.Signals(number).name}; {remedy}", number)
