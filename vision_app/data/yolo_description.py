"""The data.yaml of a YOLO set, or Darknet's obj.data: its splits, the names of the classes, and key points."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from vision_app.core.errors import DataError, nearest
from vision_app.core.files import read_text
from vision_app.core.yaml_file import read_yaml
from vision_app.data.layout import relocated
from vision_app.data.parse import class_names, whole_number

SPLITS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}  # our name -> keys in use
READ = {"path", "names", "nc", "kpt_shape"}.union(*SPLITS.values())
MAX_CLASSES = 100_000
SHOWN = 5  # class indices in a sentence
OTHERS = {"author", "kpt_names", "minival"}  # keys of such files that only look like one of these


def read_description(path: Path) -> dict[Any, Any]:
    """Return what a data.yaml or obj.data says.

    Raises:
        DataError: It cannot be read.
    """
    return (_read_darknet if path.suffix.lower() == ".data" else _read_yaml)(path)


def _read_yaml(path: Path) -> dict[Any, Any]:
    """Return what a file says, with `names` as they are written: no is a name there, and no False."""
    try:
        content, node = read_yaml(path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: not a YAML file ({error})") from error
    if not isinstance(content, dict) or not isinstance(node, yaml.MappingNode):
        raise DataError(f"{path}: not a data.yaml, it has no keys such as train, val and names")
    return content | {key.value: _as_written(value) for key, value in node.value if key.value == "names"}


def _as_written(node: yaml.Node) -> Any:
    """Return a text, None, a list of such or, for a mapping, (key, value) pairs."""
    if isinstance(node, yaml.SequenceNode):
        return [_as_written(each) for each in node.value]
    if isinstance(node, yaml.MappingNode):
        return tuple((_as_written(key), _as_written(value)) for key, value in node.value)
    return None if node.tag.endswith(":null") else node.value


def _read_darknet(path: Path) -> dict[Any, Any]:
    pairs = [line.partition("=") for line in lines_of(path) if "=" in line]
    content = {key.strip(): value.strip() for key, _, value in pairs}
    return content | {"nc": whole_number(content.get("classes"))}


def misspelled_keys(content: Mapping[Any, Any]) -> Iterator[str]:
    """Yield the keys that are none but look like one that is read, each with that one."""
    for key in map(str, content):
        if key not in READ | OTHERS and (guess := nearest(key, READ)):
            yield f"{key!r}; did you mean {guess!r}?"


def names_by_index(path: Path, content: Mapping[Any, Any]) -> tuple[dict[int, int], tuple[str, ...]]:
    """Return our class index by that of the labels, and the names of the classes.

    Raises:
        DataError: They are not listed, not there, or not each once.
    """
    listed, count = content.get("names"), content.get("nc")
    if isinstance(listed, str) and (file := relocated(listed, [path.parent])) and file.is_file():
        listed = "\n".join(map(str.strip, lines_of(file))).strip().split("\n")
    elif isinstance(listed, str) and Path(listed).suffix:
        raise DataError(f"{path}: its 'names' are in {listed}, which is not there; list them here or mend the path")
    if isinstance(count, int) and count > MAX_CLASSES:
        raise DataError(f"{path}: 'nc' is {count}; at most {MAX_CLASSES:,} classes can be told apart")
    if listed is None and isinstance(count, int):
        listed = [f"class {i}" for i in range(count)]
    pairs = tuple(enumerate(listed)) if isinstance(listed, list) else listed
    indices = [whole_number(place) for place, _ in pairs] if isinstance(pairs, tuple) else []
    if not isinstance(pairs, tuple) or not pairs or not all(index is not None and index >= 0 for index in indices):
        raise DataError(f"{path}: 'names' must list the names of the classes, in order or by number from 0")
    if len(pairs) > MAX_CLASSES:
        raise DataError(f"{path}: 'names' lists {len(pairs):,} classes; at most {MAX_CLASSES:,} can be told apart")
    if isinstance(count, int) and count != len(pairs):
        raise DataError(f"{path}: 'nc' is {count}, but 'names' lists {len(pairs)}")
    if len(set(indices)) < len(pairs):
        twice = next(index for index, uses in Counter(indices).items() if uses > 1)
        raise DataError(f"{path}: 'names' has two names for class {twice}")
    rows = {index: name for index, (_, name) in sorted(zip(indices, pairs, strict=True), key=lambda one: one[0] or 0)}
    names = class_names(list(rows.values()), f"{path}: 'names'")
    return {index: place for place, index in enumerate(rows) if index is not None}, names


def unnamed(index: Mapping[int, int]) -> str:
    """Return "class 2" or "classes 0, 3, 4", those below the largest that have no name; "" without any.

    Args:
        index: By class index, see `names_by_index`.
    """
    largest = max(index)
    count = largest + 1 - len(index)
    first = ", ".join(map(str, islice((i for i in range(largest) if i not in index), SHOWN)))
    more = f" and {count - SHOWN:,} more" * (count > SHOWN)
    return f"class{'es' * (count > 1)} {first}{more}" if count else ""


def key_point_numbers(path: Path, content: Mapping[Any, Any]) -> int | None:
    """Return how many numbers the key points of an object have, K points of D numbers each; None without them.

    Raises:
        DataError: `kpt_shape` is something else.
    """
    match content.get("kpt_shape"):
        case None:
            return None
        case [int(points), int(numbers)]:
            return points * numbers
    raise DataError(f"{path}: 'kpt_shape' must be two whole numbers, the key points and the numbers of each")


def lines_of(path: Path) -> list[str]:
    """Return the lines of a text file.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from error
