"""Options from a YAML file: one of the user's, or the one that a run keeps to be resumed with."""

from pathlib import Path
from typing import Any

import typer

from vision_app.cli.options import HIDDEN_ALIASES
from vision_app.core.errors import UsageError, unknown

KEPT = "options.yaml"  # in the folder of a run


def read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Make the contents of the file the defaults of the options, each parsed and checked as if it were given."""
    if path is not None:
        context.default_map = {**(context.default_map or {}), **_options(context, path)}
    return path


def resumed(context: typer.Context, parameter: typer.CallbackParam, value: Any) -> Any:
    """Make the options that a run was started with the defaults, behind those of --config.

    A callback of --output and --resume, both eager: it acts when both are known.
    """
    context.meta[str(parameter.name)] = value
    output = context.meta.get("output")
    if output and context.meta.get("resume") and (output / KEPT).is_file():
        context.default_map = {**_options(context, output / KEPT), **(context.default_map or {})}
    return value


def write_options(context: typer.Context, folder: Path) -> None:
    """Write all options but those that say where and what to do, as a file for --config that holds in any folder."""
    import yaml

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(each) for each in value]
        if isinstance(value, Path):  # a model's name is one, too
            return str(value.resolve() if value.exists() else value)
        return value

    left_out = {"config", "help", "output", "resume", "find_lr", "plot_schedule"}
    given = {option: context.params[option.name] for option in context.command.params if option.name not in left_out}
    values = {option.opts[0].removeprefix("--"): plain(value) for option, value in given.items() if value is not None}
    (folder / KEPT).write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _options(context: typer.Context, path: Path) -> dict[str, str | list[str]]:
    """Return the values in the file by parameter.

    They are text: YAML reads 1e-3 as a word and 2 as a number, and options rely on neither.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"--config {path}: cannot be read as YAML ({error})") from error
    if not isinstance(content, dict):
        raise UsageError(f"--config {path}: has no options; write one per line, such as `epochs: 30`")
    options = {opt: option for option in context.command.params for opt in option.opts}
    options = {opt: option for opt, option in options.items() if opt not in ("--config", "--help")}
    chosen = {}
    for key, value in content.items():
        flag = "--" + str(key).replace("_", "-")
        option = options.get(HIDDEN_ALIASES.get(flag, flag))
        if option is None:
            names = sorted(opt.removeprefix("--") for opt in options)
            raise UsageError(f"--config {path}: " + unknown("option", str(key), names))
        values = value if isinstance(value, list) else [value]
        if isinstance(value, dict) or (isinstance(value, list) and not option.multiple):
            raise UsageError(f"--config {path}: {key} takes one value")
        if value is not None:
            chosen[str(option.name)] = [str(each) for each in values] if option.multiple else str(value)
    return chosen
