"""`Matcher`: which people of a gallery are nearest to a face, and which one it is."""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from vision_app.faces.align import centroid_of
from vision_app.faces.calibration import FAR, FPIR
from vision_app.faces.gallery.index_cache import CachedIndex
from vision_app.faces.gallery.results import Candidate, Identity, different_from
from vision_app.faces.gallery.store import Store
from vision_app.faces.index import NOBODY
from vision_app.faces.recognizer import FaceRecognizer
from vision_app.faces.results import Faces

CANDIDATES = 5  # people whom an answer names for each face


class Matcher:
    """Compares faces with the people of a gallery.

    Attributes:
        store: The rows of the gallery.
        index: Finds the people nearest to a face.
    """

    def __init__(self, store: Store, recognizer: FaceRecognizer | None = None):
        self.store, self.index, self._given = store, CachedIndex(store), recognizer

    @cached_property
    def recognizer(self) -> FaceRecognizer:
        """What finds and embeds faces; raises ModelError where the models cannot be loaded."""
        return self._given or FaceRecognizer.load()

    def threshold(self, fpir: float = FPIR, photos: int = 1) -> float:
        """Return the similarity from which a face gets a name.

        Args:
            fpir: False positive identification rate: the share of strangers who may get one.
            photos: With how many the person of that name is enrolled, see `Calibration.gain`.

        Raises:
            ModelError: The model is not calibrated.
            UsageError: Nobody is enrolled, or the rate is out of range.
        """
        index, calibration = self.index.current(), self.recognizer.calibration
        return calibration.identify_threshold(0 if index is None else len(index), fpir) + calibration.gain(photos)

    def identify(self, faces: Faces, fpir: float, repeats: bool) -> tuple[float | None, tuple[Identity, ...]]:
        """Return the threshold, None in an empty gallery, and who each of the faces of a photo is.

        A face that is not fit to be recognized gets candidates but no name, and takes none from the others.
        """
        if faces.embeddings is None:
            raise ValueError("faces: expected embeddings")
        threshold, reasons = None, [quality.reasons for quality in faces.quality]
        candidates: list[tuple[Candidate, ...]] = [()] * len(faces)
        people: list[Candidate | None] = [None] * len(faces)
        if self.index.current() is not None:
            threshold, candidates = self.threshold(fpir), self.candidates(faces.embeddings)
            fit = [() if why else near for near, why in zip(candidates, reasons, strict=True)]
            people = assign(fit, threshold, self.recognizer.calibration.gain, repeats=repeats)
        return threshold, tuple(map(Identity, faces.boxes, people, candidates, reasons))

    def candidates(self, embeddings: np.ndarray, count: int = CANDIDATES) -> list[tuple[Candidate, ...]]:
        """Return the people nearest to each of (N, D) embeddings, the nearest first: `count` of them, or all.

        Raises:
            GalleryError: The embeddings have another size than the gallery's, or are not finite.
        """
        with self.store.snapshot():
            similarities, ids = self.index.search(embeddings, count)
            owners = self.store.owners(ids[ids != NOBODY])
        return [
            tuple(
                Candidate(*owners[key], similarity=float(similarity))
                for key, similarity in zip(row.tolist(), near, strict=True)
                if key in owners
            )
            for row, near in zip(ids, similarities, strict=True)
        ]

    def unlike(self, name: str, embeddings: np.ndarray, centroid: np.ndarray, photos: int) -> str | None:
        """Say that photos clearly do not look like the person enrolled under a name; None where that is not clear.

        Clearly is what `FaceRecognizer.compare` calls different, at the nearest false accept rate that was measured.

        Args:
            name: The person.
            embeddings: (N, D) unit vectors of the photos, at least one.
            centroid: (D,) that of the person.
            photos: With how many the person is enrolled.

        Raises:
            ModelError: The model is not calibrated.
        """
        calibration = self.recognizer.calibration
        far = min(max(FAR, calibration.fars[-1]), calibration.fars[0])
        gain = calibration.gain(photos) + calibration.gain(len(embeddings))
        similarity = float(np.dot(centroid_of(embeddings), centroid))
        if similarity >= calibration.band(far)[0] + gain:
            return None
        return different_from(name, similarity, calibration.threshold(far) + gain)

    def person_of(self, embeddings: np.ndarray) -> str | None:
        """Return the id, as in the audit log, of the person whom a group of faces shows, if that is anybody known.

        Args:
            embeddings: (N, D) unit vectors, at least one.
        """
        with self.store.snapshot():
            (candidates,) = self.candidates(centroid_of(embeddings)[None], 1)
            gain = self.recognizer.calibration.gain(len(embeddings))  # the group's mean is one of several photos too
            near = [one for one in candidates if one.similarity >= self.threshold(photos=one.photos) + gain]
        return f"{near[0].id:016x}" if near else None


def assign(
    candidates: Sequence[Sequence[Candidate]],
    threshold: float,
    gain: Callable[[int], float],
    *,
    repeats: bool = False,
) -> list[Candidate | None]:
    """Give each face of a photo the nearest person who is near enough.

    Nobody is in a photo twice: the nearest of all pairs goes first, then the nearest of the faces and people that are
    left. From a person's similarity is taken what the mean of so many photos gains, or people with many photos would
    get the names of strangers and of others.

    Args:
        candidates: Of each face.
        threshold: The similarity from which a face may get the name of a person with one photo.
        gain: Number of photos -> by how much it must rise, see `Calibration.gain`.
        repeats: Whether several faces may get the same name, as on a collage.

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
