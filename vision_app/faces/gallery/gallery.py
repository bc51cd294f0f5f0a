"""`Gallery`: people who can be recognized. NumPy only."""

import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vision_app.core.errors import GalleryError, ModelError, UsageError
from vision_app.core.images import ImageSource
from vision_app.faces.calibration import FPIR
from vision_app.faces.gallery import transfer
from vision_app.faces.gallery.audit import AuditLog
from vision_app.faces.gallery.check import check, reembed
from vision_app.faces.gallery.enroll import enroll_photo
from vision_app.faces.gallery.forget import finish, forget
from vision_app.faces.gallery.index_cache import CachedIndex
from vision_app.faces.gallery.lock import WriterLock
from vision_app.faces.gallery.matching import assign
from vision_app.faces.gallery.results import (
    Candidate,
    Enrollment,
    Forgotten,
    Identities,
    Identity,
    Person,
    Sample,
    checked_name,
)
from vision_app.faces.gallery.schema import missing
from vision_app.faces.gallery.store import Store
from vision_app.faces.index import NOBODY
from vision_app.faces.quality import Quality
from vision_app.faces.results import Face, Faces, Verification

if TYPE_CHECKING:
    from vision_app.faces.recognizer import FaceRecognizer

CANDIDATES = 5


class Gallery:
    """People and their photos in one SQLite file, which only its owner may read.

    >>> with Gallery.open("people.db") as gallery:
    ...     gallery.enroll("Ada", ["ada.jpg"])
    ...     gallery.identify("group.jpg")

    A face is compared with the mean of each person's embeddings: that tells people apart better than the nearest of
    their photos does (`benchmarks/face_recognition.py`).

    What `enroll` and the others acknowledged survives a kill and a power cut. One gallery at a time may be open for
    writing, in whatever process; readers are never kept waiting and see what is added while they are open. Several
    threads may use one gallery.

    Attributes:
        path: the file.
        store: its rows.
        index: finds those nearest to a face.
        audit: says what was done, see `audit`.
    """

    def __init__(
        self, path: Path, *, readonly: bool = False, create: bool = True, recognizer: "FaceRecognizer | None" = None
    ):
        self.path, self._given, self._lock = path, recognizer, None
        with ExitStack() as failed:
            if not readonly:
                if not path.is_file() and not create:
                    raise missing(path)
                self._lock = WriterLock(path)
                failed.callback(self._lock.release)
            self.store = Store(path, readonly=readonly)
            failed.callback(self.store.close)
            self.index, self.audit = CachedIndex(self.store), AuditLog(path)
            if not readonly:
                finish(self)
            failed.pop_all()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike,
        *,
        readonly: bool = False,
        create: bool = True,
        recognizer: "FaceRecognizer | None" = None,
    ) -> "Gallery":
        """Opens a gallery, or makes a new one.

        Args:
            path: its file.
            readonly: only look things up; then the file must be there.
            create: make the file if it is not there.
            recognizer: what finds and embeds faces; by default the released models, loaded when they are needed.

        Raises:
            UsageError: there is no such file, and none is to be made.
            GalleryError: the file is no gallery or damaged, or another process is writing to it.
        """
        return cls(Path(path), readonly=readonly, create=create, recognizer=recognizer)

    def close(self) -> None:
        """Closes the gallery; a writer puts a large index on the disk first."""
        try:
            if self._lock is not None:
                self.index.save()
        finally:
            self.store.close()
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def __enter__(self) -> "Gallery":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that may hold something of a person, but for the index."""
        return tuple(self.path.with_name(self.path.name + suffix) for suffix in ("", "-wal", "-shm"))

    @cached_property
    def recognizer(self) -> "FaceRecognizer":
        """What finds and embeds faces.

        Raises:
            ModelError: the models cannot be loaded.
        """
        from vision_app.faces.recognizer import FaceRecognizer

        return self._given or FaceRecognizer.load()

    def require(self, contract: str) -> None:
        """Checks that embeddings of a model can be compared with those of the gallery.

        Raises:
            ModelError: they cannot; names the command that makes them anew.
        """
        if self.store.contracts not in ([], [contract]):
            raise ModelError(
                f"{self.path}: its embeddings are of model {', '.join(self.store.contracts)}, not of {contract}; "
                f"`vision-app faces reembed --gallery {self.path}` makes them anew"
            )

    def threshold(self, fpir: float = FPIR, photos: int = 1) -> float:
        """From which similarity on a face gets a name.

        Args:
            fpir: false positive identification rate: the share of strangers who may get one.
            photos: with how many the person of that name is enrolled, see `Calibration.gain`.

        Raises:
            ModelError: nobody has measured the model's thresholds.
            UsageError: nobody is enrolled, or the rate is out of range.
        """
        index, calibration = self.index.current(), self.recognizer.calibration
        return calibration.identify_threshold(0 if index is None else len(index), fpir) + calibration.gain(photos)

    def people(self) -> list[Person]:
        """Everybody enrolled, by name."""
        return self.store.people()

    def samples(self, name: str) -> list[Sample]:
        """What is kept of somebody, the oldest photo first.

        Raises:
            UsageError: there is nobody of this name.
        """
        return self.store.samples(self.store.person(name).id)

    def enroll(
        self,
        name: str,
        photos: Iterable[ImageSource],
        *,
        consent: str = "",
        largest: bool = False,
        allow_similar: bool = False,
    ) -> list[Enrollment]:
        """Makes somebody known by photos, or better known by more of them.

        Each photo that is accepted is safe when its turn is over, whatever becomes of the others. A photo that is
        enrolled already changes nothing, so that a broken off enrollment can be started again.

        Args:
            name: of the person.
            photos: paths, bytes, arrays or `RGBImage`s of one face each.
            consent: a note of who agreed to what, kept with each photo.
            largest: take the largest face of a photo that shows several.
            allow_similar: accept a photo also if it looks like somebody else who is enrolled, such as a twin.

        Returns:
            For each photo, whether it was accepted, or why not.

        Raises:
            UsageError: the name cannot be used.
            ModelError: the gallery's embeddings are of another model, or nobody has measured the model's thresholds.
        """
        name = checked_name(name)
        self.require(self.recognizer.model_id)
        options = {"consent": consent, "largest": largest, "allow_similar": allow_similar}
        return [enroll_photo(self, name, photo, **options) for photo in photos]

    def identify(self, source: ImageSource, *, fpir: float = FPIR, repeats: bool = False) -> Identities:
        """Says who is in a photo.

        Args:
            source: path, bytes, file object, array or `RGBImage`.
            fpir: false positive identification rate: the share of strangers who may get a name.
            repeats: whether several faces may get the same name.

        Raises:
            ImageError: the photo cannot be read.
            ModelError: the gallery's embeddings are of another model, or nobody has measured the model's thresholds.
            UsageError: the rate is out of range.
        """
        return self.identify_faces(self.recognizer(source), fpir=fpir, repeats=repeats)

    def identify_faces(self, faces: Faces, *, fpir: float = FPIR, repeats: bool = False) -> Identities:
        """Says who faces with embeddings are; see `identify`."""
        self.require(faces.model_id)
        if self.index.current() is None:
            threshold, candidates, people = None, [()] * len(faces), [None] * len(faces)
        else:
            threshold, candidates = self.threshold(fpir), self.candidates(faces.embeddings, CANDIDATES)
            people = assign(candidates, threshold, self.recognizer.calibration.gain, repeats=repeats)
        answers = map(Identity, faces.boxes, people, candidates)
        self.audit.write("identify", sorted(person.id for person in people if person), faces=len(faces))
        return Identities(tuple(answers), faces.width, faces.height, faces.model_id, threshold)

    def candidates(self, embeddings: np.ndarray, count: int) -> list[tuple[Candidate, ...]]:
        """The people nearest to each of (N, D) embeddings, the nearest first: as many as asked for, or all.

        Raises:
            GalleryError: the embeddings have another size than the gallery's, or are not finite.
        """
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

    def verify(
        self, source: ImageSource, name: str, *, far: float | None = None, largest: bool = False
    ) -> Verification:
        """Says whether a photo shows somebody who is enrolled.

        Args:
            source: a photo of one face.
            name: the person.
            far: false accept rate: how often strangers may pass for the person; 0.001 by default.
            largest: take the largest face of a photo that shows several.

        Returns:
            The verdict, with the threshold for the person's number of photos; `face_b` is the face on the best one of
            them with the mean of all embeddings.

        Raises:
            ImageError, FaceError, ModelError, UsageError: see `FaceRecognizer.verify`; nobody has this name; the
                gallery's embeddings are of another model.
        """
        self.require(self.recognizer.model_id)
        self.store.person(name)  # before the work begins
        return self.verify_face(self.recognizer.face(source, largest=largest), name, far=far)

    def verify_face(self, face: Face, name: str, *, far: float | None = None) -> Verification:
        """Says whether a face with an embedding is somebody who is enrolled; see `verify`."""
        self.require(self.recognizer.model_id)
        with self.store.unchanging():
            person = self.store.person(name)
            known = self._face(person)
        answer = self.recognizer.compare(face, known, far=far, photos=person.photos)
        self.audit.write("verify", [person.id])
        return answer

    def rename(self, old: str, new: str) -> None:
        """Gives somebody another name.

        Raises:
            UsageError: there is nobody of the old name, or somebody else of the new one.
        """
        person, new = self.store.person(old), checked_name(new)
        if (other := self.store.find(new)) and other.id != person.id:
            raise UsageError(f"name {new!r}: somebody has it already; `merge` makes one person of two")
        with self.store.change() as change:
            self.store.rename(person.id, new)
            self.audit.write("rename", [person.id])
        self.index.follow(change)

    def merge(self, source: str, target: str) -> None:
        """Makes one person of two: the first one's photos become the second one's.

        Raises:
            UsageError: there is nobody of one of the names, or both are the same.
        """
        people = [self.store.person(name).id for name in (source, target)]
        if people[0] == people[1]:
            raise UsageError(f"name {source!r}: the same person twice; name two to merge")
        with self.store.change() as change:
            self.store.merge(*people)
            self.audit.write("merge", people)
        self.index.follow(change)

    def forget(self, name: str) -> Forgotten:
        """Deletes all that is kept of somebody, and proves it: afterwards, no file of the gallery holds any of it.

        Raises:
            UsageError: there is nobody of this name.
            GalleryError: a reader keeps deleted pages in use, and whoever writes next finishes the job; or something
                is left all the same.
        """
        return forget(self, name)

    def export(self, path: str | os.PathLike, names: Iterable[str] | None = None) -> int:
        """Writes everybody, or some, to a file that `import_file` reads; see `transfer`.

        Returns:
            The number of photos.

        Raises:
            UsageError: there is such a file already, it cannot be written, or there is nobody of a name.
            GalleryError: the gallery is damaged.
        """
        return transfer.export(self, Path(path), names)

    def import_file(self, path: str | os.PathLike) -> list[Enrollment]:
        """Adds what `export` wrote, all or nothing; who is known by name gets more photos.

        Returns:
            For each photo, whether it was accepted, or why not.

        Raises:
            UsageError: the file cannot be read.
            DataError: it is no export, or damaged.
            ModelError: its embeddings are of another model than the gallery's.
        """
        return transfer.import_file(self, Path(path))

    def reembed(self, report: Callable[[Person], None] = lambda person: None) -> int:
        """Replaces the embeddings of all photos by those of the recognizer's model, all or nothing.

        Args:
            report: called with each person who is done.

        Returns:
            The number of photos that were embedded; none where the embeddings are of that model already.

        Raises:
            GalleryError: no picture is kept of a photo.
        """
        return reembed(self, report)

    def check(self) -> list[str]:
        """What is wrong with the gallery's files and rows; empty where all is well."""
        return check(self)

    def _face(self, person: Person) -> Face:
        samples, centroid = self.store.samples(person.id), self.store.centroid(person.id)
        if not samples or centroid is None:
            raise GalleryError(f"{self.path}: {person.name} has no photo; `vision-app faces check` tells more")
        best = max(samples, key=lambda sample: sample.quality["score"])
        judged = Quality(**best.quality | {"reasons": tuple(best.quality["reasons"])})
        return Face(np.float32(best.box), 1.0, np.float32(best.landmarks), judged, centroid)
