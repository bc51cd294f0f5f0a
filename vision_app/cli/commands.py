"""Commands and groups of them, with the help that they show and the hidden aliases of their options."""

from typing import Annotated, Any

import typer
from typer import Option
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

# Names from version 0.1 and from other tools, and the options that they stand for, where a command has these. Help
# does not show them.
HIDDEN_ALIASES = {
    "--average": "--ema-decay",
    "--final": "--min-lr-ratio",
    "--held": "--freeze-blocks",
    "--truth": "--ground-truth",
    "--half": "--precision=fp16",
    "--conf": "--confidence",
    "--max-det": "--max-detections",
    "--imgsz": "--size",
}


class Command(TyperCommand):
    """A command that also takes the hidden aliases of its options, and whose help is plain text."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and a section per panel of options, without Python's names of types."""
        panels: dict[str, list[tuple[str, str]]] = {}
        params: list[Any] = self.get_params(ctx)
        for param in params:
            if record := param.get_help_record(ctx):
                name, help = record[0].partition(" <")[0], record[1]
                if isinstance(param.show_default, str):  # Typer puts it in parentheses
                    help = help.replace(f"({param.show_default})", param.show_default)
                kind = "Arguments" if isinstance(param, TyperArgument) else "Options"
                panels.setdefault(getattr(param, "rich_help_panel", None) or kind, []).append((name, help))
        for panel, records in panels.items():
            with formatter.section(panel):
                formatter.write_dl(records)

    def make_parser(self, ctx: Any) -> Any:
        """Return the parser of the command line."""
        parser = super().make_parser(ctx)
        options = {name: param for param in self.params if isinstance(param, TyperOption) for name in param.opts}
        for alias, meaning in HIDDEN_ALIASES.items():
            name, _, value = meaning.partition("=")
            if param := options.get(name):
                action = "store_const" if value else "append" if param.multiple else "store"
                parser.add_option(param, [alias], param.name, action, const=value or None)
        return parser


class Group(TyperGroup):
    """A group whose help shows the whole first sentence of each command's."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a line per command, or more."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(1000)) for name, each in commands.items() if each])


class Commands(typer.Typer):
    """A `Group` of commands, each a `Command`."""

    def __init__(self, **settings: Any):
        super().__init__(cls=Group, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Any:
        """Return a decorator that registers a command."""
        return super().command(name, cls=Command, **settings)


# Typer's own --help of a group makes it load Pydantic, which takes longer than all the rest of --help. So groups are
# made with `add_help_option=False`, take this option instead and call `show_help`.
Help = Annotated[bool, Option("--help", help="Show this message and exit.")]


def show_help(context: typer.Context, asked: bool) -> None:
    """Print the help of a group and exit, when asked to (code 0) or when no command is given (code 2)."""
    if asked or context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(0 if asked else 2)


def group_of_commands(help: str) -> typer.Typer:
    """Return a group of commands without any."""
    app = Commands(help=help, add_help_option=False)

    @app.callback(invoke_without_command=True)
    def root(context: typer.Context, help: Help = False) -> None:
        show_help(context, help)

    return app
