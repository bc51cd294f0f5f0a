"""Identification: who of the gallery each face of a photo is."""

from collections.abc import Sequence

from vision_app.faces.gallery.results import Candidate


def assign(
    candidates: Sequence[Sequence[Candidate]], threshold: float, *, repeats: bool = False
) -> list[Candidate | None]:
    """Gives each face of a photo the nearest person who is near enough.

    Nobody is in a photo twice: the pair that is nearest of all goes first, then the nearest of the faces and people
    that are left.

    Args:
        candidates: of each face, the nearest first.
        threshold: the similarity from which a face may get a name.
        repeats: whether several faces may get the same name, as on a collage.

    Returns:
        The person of each face, or None.
    """
    pairs = sorted(
        (-candidate.similarity, face, place)
        for face, nearest in enumerate(candidates)
        for place, candidate in enumerate(nearest)
        if candidate.similarity >= threshold
    )
    people: list[Candidate | None] = [None] * len(candidates)
    taken = set()
    for _, face, place in pairs:
        person = candidates[face][place]
        if people[face] is None and (repeats or person.id not in taken):
            people[face] = person
            taken.add(person.id)
    return people
