"""How far a number of steps has come, and when that is worth a line."""

import time

SECONDS = 10  # without a line, at most


class Progress:
    """Tells how long is left of up to `total` steps: after the first, every so many steps, and every few seconds."""

    def __init__(self, total: int, every: int):
        self.total, self.every = total, every
        self._started = self._said = time.monotonic()

    def left(self, done: int) -> str | None:
        """Return how long is left after so many steps, such as "at most 3 min left"; None if no line is due."""
        now = time.monotonic()
        if done not in (1, self.total) and done % self.every and now - self._said < SECONDS:
            return None
        self._said = now
        seconds = (now - self._started) / done * (self.total - done)
        return f"at most {f'{seconds:.0f} s' if seconds < 100 else f'{seconds / 60:.0f} min'} left"
