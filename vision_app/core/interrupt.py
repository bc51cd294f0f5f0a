"""Defer Ctrl-C to the end of the current step, when weights and optimizer are consistent."""

import signal
import threading


class Interrupt:
    """While it is entered, the first Ctrl-C sets `asked` and a second one interrupts at once.

    Only a program's main thread can take signals; in any other, Ctrl-C stays what it was.
    """

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> "Interrupt":
        self._in_main_thread = threading.current_thread() is threading.main_thread()
        if self._in_main_thread:
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self._in_main_thread:
            signal.signal(signal.SIGINT, self._before)

    def _ask(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
