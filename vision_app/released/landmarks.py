"""Landmarks: the named points that objects of some classes have, such as the eyes of a face."""

from dataclasses import dataclass
from typing import Any

from vision_app.released.find import Model

SIDES = ("left_", "right_")  # how COCO's names of a pair begin


@dataclass(frozen=True)
class Landmarks:
    """Which points a dataset or a model knows. Without names, none.

    Attributes:
        names: Names of the K points, in their order.
        classes: Names of the classes whose objects have them.
    """

    names: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def flip(self) -> tuple[int, ...]:
        """For each point the index of the one that takes its place in a mirrored image.

        `left_eye` becomes `right_eye` and the other way round; a point without such a partner stays what it is.
        """
        left, right = SIDES
        index = {name: i for i, name in enumerate(self.names)}
        partners = {left + end: right + end for end in (name.removeprefix(left) for name in self.names)}
        partners |= {partner: name for name, partner in partners.items()}
        return tuple(index.get(partners.get(name, ""), i) for i, name in enumerate(self.names))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values for model.json."""
        return {"names": list(self.names), "flip": list(self.flip), "classes": list(self.classes)}

    @classmethod
    def of(cls, model: Model) -> "Landmarks":
        """Return those of a model, as `to_dict` has put them into its model.json.

        Raises:
            ModelError: They cannot be used.
        """
        if "landmarks" not in model.info:
            return NO_LANDMARKS
        return cls(*(tuple(model.value(f"landmarks.{name}", list)) for name in ("names", "classes")))


NO_LANDMARKS = Landmarks()
