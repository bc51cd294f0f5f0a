"""Read YAML that others wrote: nothing in it may run, and nothing small may become large."""

from pathlib import Path
from typing import Any

import yaml

from vision_app.core.files import read_text
from vision_app.core.limits import MAX_SETTINGS_BYTES

MAX_VALUES = 100_000  # each counted as often as aliases repeat it
MAX_DEPTH = 100
MAX_NUMBER = 300  # characters of what is no text; Python takes quadratic time for long numbers


def read_yaml(path: Path) -> tuple[Any, yaml.Node | None]:
    """Return the value of a YAML file, and the node that holds what is written there.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not YAML, or one of its limits is exceeded: size, depth, values after aliases are followed.
    """
    text = read_text(path, MAX_SETTINGS_BYTES)
    try:
        node = yaml.compose(text, _Loader)
        if node is not None:
            _count(node, {}, 0)
        return yaml.safe_load(text), node
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} deep") from None
    except (yaml.YAMLError, LookupError, TypeError, AttributeError, OverflowError) as error:
        # The safe loader raises the others for tags that do not fit their values, such as !!int for no digits.
        raise ValueError(" ".join(str(error).split())) from error


class _Loader(yaml.SafeLoader):
    """Stops at too many values; to read a megabyte takes seconds."""

    values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.values += 1
        if self.values > MAX_VALUES:
            raise ValueError(f"holds more than {MAX_VALUES:,} values")
        return super().compose_node(parent, index)


def _count(node: yaml.Node, counts: dict[int, int], depth: int) -> int:
    """Return how many values a node stands for, those behind aliases counted each time.

    Args:
        node: The node.
        counts: Those of the nodes that were counted before, and 0 for those that contain this one.
        depth: How many contain it.

    Raises:
        ValueError: They are too many or too deep, contain themselves, or a number is too long.
    """
    if (known := counts.get(id(node))) is not None:
        if not known:
            raise ValueError("an alias stands for what contains it")
        return known
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    counts[id(node)] = 0
    total = 1
    if isinstance(node, yaml.ScalarNode):
        if len(node.value) > MAX_NUMBER and not node.tag.endswith((":str", ":binary")):
            raise ValueError(f"a number has {len(node.value):,} characters")
    else:
        parts = [each for pair in node.value for each in pair] if isinstance(node, yaml.MappingNode) else node.value
        for part in parts:
            total += _count(part, counts, depth + 1)
            if total > MAX_VALUES:
                raise ValueError(f"holds more than {MAX_VALUES:,} values when its aliases are followed")
    counts[id(node)] = total
    return total
