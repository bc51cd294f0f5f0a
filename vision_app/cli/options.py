"""Small parts that the verbs share: values of options, and `--help` of a group of verbs."""

import math
from typing import Annotated

import typer

# Typer's own --help of a group makes it load Pydantic, which takes longer than all the rest of --help. So groups are
# made with `add_help_option=False`, take this option instead and call `show_help`.
Help = Annotated[bool, typer.Option("--help", help="Show this message and exit.")]


def show_help(context: typer.Context, asked: bool) -> None:
    """Print the help of a group and exit, when asked to (code 0) or when no verb is given (code 2)."""
    if asked or context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(0 if asked else 2)


def positive_int(text: str) -> int:
    """Parse a whole number from 1 up."""
    try:
        value = int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a whole number") from None
    if value < 1:
        raise typer.BadParameter(f"{text!r} is too small; the nearest valid value is 1")
    return value


def number(text: str) -> float:
    """Parse a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise typer.BadParameter(f"{text!r} is not a number")
    return value
