"""Ctrl-C as a wish that is granted between two steps, when weights and optimizer are whole."""

import signal
import threading


class Interrupt:
    """While it is entered, the first Ctrl-C sets `asked` and a second one interrupts at once.

    Only a program's main thread can take signals; in any other, Ctrl-C stays what it was.
    """

    def __init__(self):
        self.asked = False

    def __enter__(self) -> "Interrupt":
        self._here = threading.current_thread() is threading.main_thread()
        if self._here:
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_) -> None:
        if self._here:
            signal.signal(signal.SIGINT, self._before)

    def _ask(self, *_) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
