"""Attacks on the program, a file for each area; `benchmarks/attack.py` runs them and counts what held.

An attack is a public function of a file here that takes an empty folder of its own and yields a `Trial` for each thing
that it tries. The first line of its docstring is its row in the table of docs/security.md. What it raises counts as a
trial that did not hold.
"""

import io
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

from vision_app.cli import main


class Trial(NamedTuple):
    """One attempt to break something.

    Attributes:
        name: What was tried, for the list of what did not hold.
        held: Whether the program did what docs/security.md says.
    """

    name: str
    held: bool


def vision_app(*words: object) -> tuple[int | None, str]:
    """Run the command in this process; return its exit code and what it printed.

    Where it raises, as a traceback of the command would show, the code is None.
    """
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        try:
            code = main([str(word) for word in words])
        except Exception as error:
            return None, f"{printed.getvalue()}{type(error).__name__}: {error}"
    return code, printed.getvalue()
