"""`vision-app export`: write a model as one file that also other programs can run."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def export(
    model: Annotated[str, Argument(metavar="MODEL", help="A released model, or the path of a model folder.")],
    output: Annotated[Path, Option(metavar="FILE.onnx", help="File to write; none is overwritten.")],
) -> int:
    """Write a model as one ONNX file.

    The file carries model.json, so `--model FILE.onnx` works wherever a model's name does. Other programs find classes,
    input size and anchors in its metadata.

    Exit code: 0 written, 2 wrong usage.
    """
    from vision_app.released.find import find, write_file

    write_file(find(model), output)
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB")
    return 0
