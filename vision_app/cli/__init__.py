"""The command `vision-app`. Nothing heavy is imported at the top of a file here, so that `--help` answers at once."""

import os
import sys
from io import TextIOWrapper

from vision_app.cli.exit_codes import FAILED, INTERRUPTED, USAGE


def main(args: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: Words after the program's name; those of this process by default.

    Returns:
        The exit code: 0 every input was handled, 1 some failed, 2 wrong usage or nothing to do, 130 interrupted.
    """
    _open_closed_streams()
    try:
        import warnings

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # about sloppy files that can be read all the same
            from vision_app.cli import alone
            from vision_app.core.flags import command_line

            words = sys.argv[1:] if args is None else args
            alone.COMMAND.set((main, words))
            with command_line():
                return _run(words)
    except KeyboardInterrupt:  # while modules are loaded
        return INTERRUPTED


def _open_closed_streams() -> None:
    """Open the null device for each standard stream that is closed; the next file would take its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


def _run(args: list[str]) -> int:
    import typer

    from vision_app.cli.app import app
    from vision_app.cli.terminal import say
    from vision_app.core.errors import ModelError, UsageError, VisionAppError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a program that calls `main` may have put something else there
            stream.reconfigure(errors="backslashreplace")  # this terminal may not be able to show a file name
    if "_VISION_APP_COMPLETE" in os.environ:  # the shell asks for completions
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()
    try:
        code = app(args, prog_name="vision-app", standalone_mode=False) or 0
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a full disk can still be told
        return code
    except typer.TyperException as error:
        message, code = error.format_message(), USAGE
    except (UsageError, ModelError) as error:
        message, code = str(error), USAGE
    except VisionAppError as error:
        message, code = str(error), FAILED
    except OSError as error:  # a file, or the standard output, that nothing else expected to fail
        if error.filename is None:
            sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  # or Python fails once more when it ends
        message, code = f"{error.filename or 'the standard output'}: {error.strerror or error}", FAILED
    say(f"vision-app: {' '.join(message.split())}", err=True)
    return code
