"""The command `vision-app`. Nothing heavy is imported at the top of a file here, so that `--help` answers at once."""

import sys

from vision_app.cli.exit_codes import INTERRUPTED


def main(args: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: Words after the program's name; those of this process by default.

    Returns:
        The exit code: 0 every input was handled, 1 some failed, 2 wrong usage or nothing to do, 130 interrupted.
    """
    try:
        import warnings

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # about sloppy files that can be read all the same
            return _run(args)
    except KeyboardInterrupt:  # while modules are loaded
        return INTERRUPTED


def _run(args: list[str] | None) -> int:
    import typer

    from vision_app.cli.app import app
    from vision_app.cli.progress import printable
    from vision_app.core.errors import ModelError, UsageError, VisionAppError

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a program that calls `main` may have put something else there
            stream.reconfigure(errors="backslashreplace")  # a file name may be no text that this terminal can show
    try:
        return app(args, prog_name="vision-app", standalone_mode=False) or 0
    except typer.TyperException as error:
        message, code = error.format_message(), 2
    except (UsageError, ModelError) as error:
        message, code = str(error), 2
    except VisionAppError as error:
        message, code = str(error), 1
    print(f"vision-app: {printable(' '.join(message.split()))}", file=sys.stderr)
    return code
