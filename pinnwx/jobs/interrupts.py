"""SIGINT, SIGTERM, SIGHUP and SIGQUIT end a job at its next safe point, after saving, instead of at once."""

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
    """The job was asked to stop and has saved its state; its exit code is 128 and the number of the signal."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number


class Interrupts:
    """Remembers the first signal that arrives inside its `with` block; no further one cuts the saving short.

    Each signal is answered by a line on stderr, which says what the job is `doing` before it ends. SIGHUP stays ignored
    where it was (`nohup`). Outside the main thread (some notebooks, servers) signals cannot be caught, and nothing is
    changed.
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
            os.write(_STDERR, line.encode())  # not by the stream, which this signal may have come in the middle of

    def arrived(self) -> bool:
        return self._arrived is not None

    def raise_for(self, remedy: str) -> None:
        """Raises:
        Interrupted: naming the signal, and how to go on.
        """
        number = self._arrived or signal.SIGINT
        raise Interrupted(f"stopped by {signal.Signals(number).name}; {remedy}", number)
