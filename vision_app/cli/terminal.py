"""What the command line prints: text of files, models and galleries never controls the terminal."""

import sys
from contextlib import nullcontext, suppress

from vision_app.core.text import brief, printable


def say(*lines: object, err: bool = False) -> None:
    """Print lines, to standard error if asked to, with control characters escaped but for the line ends.

    What goes to standard error is lost where nobody can read it: the work goes on where a pipe or a terminal is gone.
    """
    single = "\n".join(map(str, lines)).split("\n")
    text = "\n".join(map(printable, map(brief, single) if err else single))
    with suppress(OSError) if err else nullcontext():
        if (stream := sys.stderr if err else sys.stdout) is not None:
            print(text, file=stream, flush=True)
