"""Class names: COCO's eighty, and the other names under which data sets list the same things."""

from collections.abc import Iterable, Iterator, Sequence

_COCO = """
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
    parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
    handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
    surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
    broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop,
    mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors,
    teddy bear, hair drier, toothbrush
"""
COCO_CLASSES = tuple(name.strip() for name in _COCO.split(","))

ALIASES = {  # PASCAL VOC's names -> COCO's
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "diningtable": "dining table",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}


def canonical(name: str) -> str:
    """Return the name under which the released models know a class."""
    return ALIASES.get(name, name)


def in_case_of(names: Sequence[str], known: Iterable[str]) -> tuple[str, ...]:
    """Return names as others write them, where nothing but upper and lower case differs and no two become one.

    >>> in_case_of(["Dog", "Sofa", "elk"], ["dog", "couch"])
    ('dog', 'couch', 'elk')
    """
    exact = set(known)
    written = {name.lower(): name for name in sorted(exact)}
    found = tuple(
        name
        if {name, canonical(name)} & exact
        else written.get(name.lower()) or written.get(canonical(name.lower())) or name
        for name in names
    )
    return found if len(set(map(canonical, found))) == len(set(map(canonical, names))) else tuple(names)


def alike(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield a name with an earlier one from which nothing but upper and lower case tells it.

    >>> list(alike(["Dog", "cat", "dog"]))
    [('Dog', 'dog')]
    """
    first: dict[str, str] = {}
    for name in names:
        if (one := first.setdefault(name.casefold(), name)) != name:
            yield one, name
