"""`Gallery`: people who can be recognized. NumPy only."""

import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

from vision_app.core.errors import GalleryError, UsageError
from vision_app.core.flags import flag
from vision_app.core.images import ImageSource
from vision_app.core.several import several
from vision_app.faces.calibration import FPIR
from vision_app.faces.gallery import transfer
from vision_app.faces.gallery.audit import AuditLog
from vision_app.faces.gallery.check import check
from vision_app.faces.gallery.compare import compare, known_face, merge
from vision_app.faces.gallery.database import resolve, writer_lock
from vision_app.faces.gallery.enroll import enroll_photo, reembed
from vision_app.faces.gallery.forget import finish, forget
from vision_app.faces.gallery.matching import Matcher
from vision_app.faces.gallery.results import (
    EnrolledPhoto,
    Enrollment,
    Forgotten,
    Identities,
    Person,
    checked_name,
)
from vision_app.faces.gallery.store import Store
from vision_app.faces.recognizer import FaceRecognizer
from vision_app.faces.results import Face, Faces, Verification


class Gallery:
    """People and their photos in one SQLite file, which only its owner may read.

    >>> with Gallery.open("people.db") as gallery:
    ...     gallery.enroll("Ada", ["ada.jpg"])
    ...     gallery.identify("group.jpg")

    A face is compared with the mean of each person's embeddings: that tells people apart better than the nearest of
    their photos does (`benchmarks/face_recognition.py`).

    What `enroll` and the others acknowledged survives a kill and a power cut. One gallery at a time may be open for
    writing, in whatever process; readers never wait and see what is added while they are open. Several threads may use
    one gallery.

    Attributes:
        path: The file.
        store: Its rows.
        matcher: Finds the people nearest to a face.
        audit: Notes what is done, see `audit`.
    """

    def __init__(self, path: Path, store: Store, matcher: Matcher, closing: ExitStack):
        self.path, self.store, self.matcher, self.audit = path, store, matcher, AuditLog(path)
        self._closing = closing

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        readonly: bool = False,
        create: bool = True,
        recognizer: FaceRecognizer | None = None,
    ) -> "Gallery":
        """Open a gallery, or make a new one.

        Args:
            path: Its file.
            readonly: Only read; then the file must be there.
            create: Make the file if it is not there.
            recognizer: What finds and embeds faces; by default the released models, loaded when they are needed.

        Raises:
            UsageError: There is no such file, and none is to be made; or it is no regular file.
            GalleryError: The file is no gallery or damaged, or another process is writing to it.
        """
        path = resolve(Path(path))
        if (readonly or not create) and not path.exists():
            raise UsageError(f"{flag('gallery')} {path}: there is no such gallery; `vision-app faces enroll` makes one")
        with ExitStack() as stack:
            if not readonly:
                stack.enter_context(writer_lock(path))
            store = Store(path, readonly=readonly)
            stack.callback(store.close)
            matcher = Matcher(store, recognizer)
            if not readonly:
                finish(store, matcher.index)
                with suppress(GalleryError):  # rows that are damaged are reported by `check`, and by what needs them
                    matcher.index.current()
                stack.callback(matcher.index.save)
            return cls(path, store, matcher, stack.pop_all())

    def close(self) -> None:
        """Close the gallery; a writer saves a large index first."""
        self._closing.close()

    def __enter__(self) -> "Gallery":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def recognizer(self) -> FaceRecognizer:
        """What finds and embeds faces; raises ModelError where the models cannot be loaded."""
        return self.matcher.recognizer

    def people(self) -> list[Person]:
        """Return everybody enrolled, by name."""
        return self.store.people()

    def samples(self, name: str) -> list[EnrolledPhoto]:
        """Return what is kept of a person, the oldest photo first.

        Raises:
            UsageError: Nobody of this name is enrolled.
        """
        return self.store.samples(self.store.person(name).id)

    def enroll(
        self,
        name: str,
        photos: ImageSource | Iterable[ImageSource],
        *,
        consent: str = "",
        largest: bool = False,
        allow_similar: bool = False,
        allow_different: bool = False,
    ) -> list[Enrollment]:
        """Enroll a person from photos, or add more photos of one.

        Each accepted photo is safe before the next one is read, whatever becomes of the others. A photo that is
        enrolled already changes nothing, so that an interrupted enrollment can be repeated.

        Args:
            name: Of the person.
            photos: One or several of path, bytes, file object, array or `RGBImage`, of one face each.
            consent: A note of who agreed to what, kept with each photo.
            largest: Take the largest face of a photo that shows several.
            allow_similar: Accept a photo also if it looks like another person who is enrolled, such as a twin.
            allow_different: Accept a photo also if it does not look like the person already enrolled under that name.

        Returns:
            For each photo, whether it was accepted, or why not.

        Raises:
            UsageError: The name cannot be used, or no photos are given.
            ModelError: The gallery's embeddings are of another model, or the model is not calibrated.
        """
        if photos is None:
            raise UsageError("photos None: must be an image or several: paths, bytes, files, arrays or images")
        to = self.matcher, self.audit, checked_name(name)
        return [
            enroll_photo(
                *to, photo, consent=consent, largest=largest, allow_similar=allow_similar,
                allow_different=allow_different,
            )
            for photo in several(photos)
        ]  # fmt: skip

    def identify(self, source: ImageSource, *, fpir: float = FPIR, repeats: bool = False) -> Identities:
        """Identify the people in a photo.

        Args:
            source: Path, bytes, file object, array or `RGBImage`.
            fpir: False positive identification rate: the share of strangers who may get a name.
            repeats: Whether several faces may get the same name.

        Raises:
            ImageError: The photo cannot be read.
            ModelError: The gallery's embeddings are of another model, or the model is not calibrated.
            UsageError: The rate is out of range.
        """
        return self.identify_faces(self.recognizer(source), fpir=fpir, repeats=repeats)

    def identify_faces(self, faces: Faces, *, fpir: float = FPIR, repeats: bool = False) -> Identities:
        """Identify faces with embeddings, all from one moment of the gallery; see `identify`."""
        if faces.model_id is None:
            raise ValueError("faces: expected embeddings")
        with self.store.snapshot():
            self.store.require(faces.model_id)
            threshold, answers = self.matcher.identify(faces, fpir, repeats)
        self.audit.write("identify", sorted(one.person.id for one in answers if one.person), faces=len(faces))
        return Identities(answers, faces.width, faces.height, faces.model_id, threshold)

    def verify(
        self, source: ImageSource, name: str, *, far: float | None = None, largest: bool = False
    ) -> Verification:
        """Decide whether a photo shows an enrolled person.

        Args:
            source: A photo of one face.
            name: The person.
            far: False accept rate: how often strangers may pass for the person; 0.001 by default.
            largest: Take the largest face of a photo that shows several.

        Returns:
            The verdict, with the threshold for the person's number of photos; `face_b` is the face on the best one of
            them with the mean of all embeddings.

        Raises:
            VisionAppError: As `FaceRecognizer.verify` does; or nobody of this name is enrolled (UsageError); or the
                gallery's embeddings are of another model (ModelError).
        """
        self.store.require(self.recognizer.model_id)
        self.store.person(name)  # before the work begins
        return self.verify_face(self.recognizer.face(source, largest=largest), name, far=far)

    def verify_face(self, face: Face, name: str, *, far: float | None = None) -> Verification:
        """Decide whether a face with an embedding is an enrolled person; see `verify`."""
        with self.store.snapshot():
            person, known = known_face(self.store, self.recognizer, name)
        answer = self.recognizer.compare(face, known, far=far, photos=person.photos)
        self.audit.write("verify", [person.id])
        return answer

    def compare(self, a: str, b: str, *, far: float | None = None) -> Verification:
        """Decide whether two enrolled people are one, by the means of their embeddings; see `verify`.

        Raises:
            UsageError: Nobody of one of the names is enrolled, or the rate is out of range.
            FaceError: They cannot be compared ("not_comparable"): one has no photo, the embeddings are of another
                model than the recognizer's, or that is not calibrated.
        """
        return compare(self.store, self.recognizer, a, b, far)

    def rename(self, old: str, new: str) -> None:
        """Change a person's name.

        Raises:
            UsageError: Nobody of the old name is enrolled, or another person has the new one.
        """
        person, new = self.store.person(old), checked_name(new)
        if (other := self.store.find(new)) and other.id != person.id:
            raise UsageError(f"name {new!r}: another person has it already; `merge` makes one person of two")
        with self.store.change() as change:
            self.store.rename(person.id, new)
            self.audit.write("rename", [person.id])
        self.matcher.index.follow(change)

    def merge(self, source: str, target: str, *, allow_different: bool = False) -> None:
        """Merge two people: the first one's photos become the second one's.

        Args:
            source: The person whose name goes.
            target: The person whose name stays.
            allow_different: Merge people also if they look different, without comparing them.

        Raises:
            UsageError: Nobody of one of the names is enrolled, or both are the same.
            FaceError: They look like different people ("different_people"), or cannot be compared ("not_comparable"),
                see `compare`; with `allow_different`, they are merged all the same.
        """
        change = merge(self.store, self.audit, source, target, None if allow_different else self.recognizer)
        self.matcher.index.follow(change)

    def forget(self, name: str) -> Forgotten:
        """Delete all that is kept of a person, and prove it: afterwards, no file of the gallery contains any of it.

        Raises:
            UsageError: Nobody of this name is enrolled.
            GalleryError: A reader keeps deleted pages in use, and the next writer finishes the deletion; or something
                is left all the same.
        """
        return forget(self.store, self.matcher.index, self.audit, name)

    def export(
        self, path: str | os.PathLike[str], names: str | Iterable[str] | None = None, *, overwrite: bool = False
    ) -> int:
        """Write everybody, or some by name, to a file that `import_file` reads, and count the photos; see `transfer`.

        Raises:
            UsageError: The file exists, belongs to the gallery itself (whatever `overwrite` says), or cannot be
                written; or nobody of a name is enrolled.
            GalleryError: The gallery is damaged.
        """
        chosen = None if names is None else several(names)
        return transfer.export(self.store, self.audit, Path(path), chosen, overwrite)

    def import_file(self, path: str | os.PathLike[str], *, allow_different: bool = False) -> list[Enrollment]:
        """Add what `export` wrote, all or nothing, and say of each photo whether it was accepted, or why not.

        People known by name get more photos. If they look like another person, these are refused. Where that cannot be
        told, since the recognizer is of another model than the gallery or not calibrated, they are accepted and say so.

        Args:
            path: The file.
            allow_different: Accept them all the same, without a comparison.

        Raises:
            UsageError: The file cannot be read.
            DataError: It is no export, or damaged.
            ModelError: Its embeddings are of another model than the gallery's.
        """
        return transfer.import_file(self.matcher, self.audit, Path(path), allow_different)

    def reembed(self, report: Callable[[Person], None] = lambda person: None) -> int:
        """Replace the embeddings of all photos by those of the recognizer's model, all or nothing.

        Args:
            report: Called with each person who is done.

        Returns:
            The number of photos that were embedded; none where the embeddings are of that model already.

        Raises:
            GalleryError: No image of a photo is kept.
        """
        return reembed(self.matcher, self.audit, report)

    def check(self) -> list[str]:
        """Return what is wrong with the gallery's files and rows; empty where all is well."""
        return check(self.store, self.matcher.index, self.audit)
