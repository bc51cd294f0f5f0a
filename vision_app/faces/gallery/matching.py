"""Who of the gallery each face of an image is."""

from collections.abc import Callable, Sequence

from vision_app.faces.gallery.results import Candidate


def assign(
    candidates: Sequence[Sequence[Candidate]],
    threshold: float,
    gain: Callable[[int], float],
    *,
    repeats: bool = False,
) -> list[Candidate | None]:
    """Gives each face of a photo the nearest person who is near enough.

    Nobody is in a photo twice: the pair that is nearest of all goes first, then the nearest of the faces and people
    that are left. How near somebody is counts less what the mean of so many photos gains, or those with many photos
    would get the names of strangers and of others.

    Args:
        candidates: of each face.
        threshold: the similarity from which a face may get the name of somebody with one photo.
        gain: number of photos -> by how much it must rise, see `Calibration.gain`.
        repeats: whether several faces may get the same name, as on a collage.

    Returns:
        The person of each face, or None.
    """
    pairs = sorted(
        (-near, face, place)
        for face, nearest in enumerate(candidates)
        for place, candidate in enumerate(nearest)
        if (near := candidate.similarity - gain(candidate.photos)) >= threshold
    )
    people: list[Candidate | None] = [None] * len(candidates)
    taken = set()
    for _, face, place in pairs:
        person = candidates[face][place]
        if people[face] is None and (repeats or person.id not in taken):
            people[face] = person
            taken.add(person.id)
    return people
