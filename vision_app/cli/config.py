"""Options from a YAML file."""

from pathlib import Path
from typing import Annotated

import typer


def _read(context: typer.Context, path: Path | None) -> Path | None:
    """Makes what stands in the file the defaults of the options, so that each is read and checked as if it were given.

    Values become text before: YAML takes 1e-3 for a word and 2 for a number, and options take neither for granted.
    """
    if path is None:
        return None
    import yaml

    from vision_app.errors import UsageError, unknown

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"--config {path}: cannot be read as YAML ({error})") from error
    if not isinstance(content, dict):
        raise UsageError(f"--config {path}: holds no options; write one a line, such as `epochs: 30`")
    options = {opt.removeprefix("--"): option for option in context.command.params for opt in option.opts}
    options = {name: option for name, option in options.items() if name not in ("config", "help")}
    chosen = {}
    for key, value in content.items():
        option = options.get(str(key).replace("_", "-"))
        if option is None:
            raise UsageError(f"--config {path}: " + unknown("option", str(key), sorted(options)))
        values = value if isinstance(value, list) else [value]
        if isinstance(value, dict) or (isinstance(value, list) and not option.multiple):
            raise UsageError(f"--config {path}: {key} takes one value")
        if value is not None:
            chosen[option.name] = [str(each) for each in values] if option.multiple else str(value)
    context.default_map = chosen
    return path


Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.yaml",
        help="Options by name, such as `batch-size: 16`; what is given on the command line wins.",
        exists=True,
        dir_okay=False,
        is_eager=True,
        callback=_read,
    ),
]
