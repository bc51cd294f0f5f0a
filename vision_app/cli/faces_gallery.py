"""`vision-app faces` with a gallery: enroll people, and show, change and delete what is kept of them."""

import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vision_app.cli.batch import gather
from vision_app.cli.faces import app, load_recognizer
from vision_app.cli.options import FACE_MODELS, FACE_MODELS_OF_ANY_SIZE, FaceModels, Text, with_options
from vision_app.cli.progress import show_progress
from vision_app.cli.terminal import say
from vision_app.core.errors import FaceError, UsageError
from vision_app.core.text import amount, printable
from vision_app.released.execution import Execution

if TYPE_CHECKING:
    from vision_app.faces.gallery import Enrollment, Person
    from vision_app.faces.gallery import Gallery as OpenGallery
    from vision_app.faces.recognizer import FaceRecognizer
NAME = Text("NAME", "Name of an enrolled person.", argument=True)
ALLOW_DIFFERENT = Text("", "Accept photos that do not look like the person already enrolled under that name.")


@app.command()
@with_options(
    name=Text("NAME", "Name of the person.", argument=True, show_default=False),
    photos=Text(
        "PHOTO", "Images of one face each, folders and quoted glob patterns.", argument=True, show_default=False
    ),
    folder=Text("PEOPLE/", "Folder with a sub-folder per person, instead of NAME and PHOTO.", exists=True),
    consent=Text("TEXT", "Note of who agreed to what, kept with each photo."),
    allow_similar=Text("", "Accept photos that look like another enrolled person, such as a twin."),
    allow_different=ALLOW_DIFFERENT,
    models=FACE_MODELS,
)
def enroll(
    models: FaceModels,
    execution: Execution,
    gallery: Path,
    name: str | None = None,
    photos: list[str] | None = None,
    folder: Path | None = None,
    consent: str = "",
    largest: bool = False,
    allow_similar: bool = False,
    allow_different: bool = False,
) -> int:
    """Enroll people from photos, or add more photos of them. One photo is enough.

    Each photo gets a line: accepted, or why not. Accepted photos are saved at once and photos that are already enrolled
    are skipped, so that an interrupted command can be run again. A photo that clearly does not look like the person
    already enrolled under that name is refused; with NAME in a terminal, this asks first. A sub-folder whose name is
    not a valid person's name is refused; the others are processed. The gallery keeps a small image of each face, so
    that another model can embed it later.

    Exit code: 0 all photos are enrolled, 1 some photos were refused, 2 wrong usage.
    """
    from vision_app.data.identities import load_identities
    from vision_app.faces.gallery import Enrollment, Gallery
    from vision_app.faces.gallery.results import DIFFERENT_PERSON

    if (folder is None) == (name is None) or (folder is None and not photos):
        raise UsageError("give NAME and at least one PHOTO, or --folder PEOPLE/ alone")
    portraits: list[tuple[str, str | Path]] = []
    if folder is not None:
        portraits += [(portrait.identity, portrait.path) for portrait in load_identities(folder)]
    elif name is not None:
        portraits += [(name, item.file) for item in gather(photos or [], gallery, named=False)]
    recognizer = load_recognizer(models, execution)
    answers: list[Enrollment] = []
    how = {"largest": largest, "allow_similar": allow_similar}
    with Gallery.open(gallery, recognizer=recognizer) as opened:
        for person, file in portraits:
            try:
                (answer,) = opened.enroll(person, file, consent=consent, allow_different=allow_different, **how)
            except UsageError as error:  # the name cannot be used
                if folder is None:
                    raise
                answer = Enrollment(str(file), person, "bad_name", str(error))
            if answer.code == DIFFERENT_PERSON and folder is None and sys.stdin.isatty():
                say(printable(f"warning: {file} {answer.reason}"), err=True)
                if _confirmed(f"Enroll it as {printable(person)} all the same?"):
                    (answer,) = opened.enroll(person, file, consent=consent, allow_different=True, **how)
            _say(answer)
            answers.append(answer)
    return _sum_up(answers)


@app.command("list")
@with_options()
def list_people(gallery: Path) -> int:
    """List who is enrolled: name, number of photos, since when.

    Exit code: 0 listed, also where no one is enrolled, 1 the gallery cannot be read, 2 there is no such gallery.
    """
    from vision_app.faces.gallery.database import EmptyFileError

    people: list[Person] = []
    with suppress(EmptyFileError), _open(gallery, readonly=True) as opened:
        people = opened.people()
    for person in people:
        photos = amount(person.photos, "photo")
        say(f"{printable(person.name):<32} {photos:>10}  since {person.added}")
    if not people:
        say("no one is enrolled", err=True)
    return 0


@app.command()
@with_options(name=NAME)
def show(name: str, gallery: Path) -> int:
    """Show what is kept of a person, one line per photo. `faces export --person NAME` writes all of it."""
    with _open(gallery, readonly=True) as opened:
        samples = opened.samples(name)
    for sample in samples:
        quality, consent = sample.quality, f", consent: {printable(sample.consent)}" if sample.consent else ""
        say(
            f"photo {sample.source.hex()[:12]} of {sample.added}: face of {quality['size']:g} px, "
            f"quality {quality['score']:g}, model {sample.contract}{consent}"
        )
    return 0


@app.command()
@with_options(name=NAME, new_name=Text("NEW", "The new name.", argument=True))
def rename(name: str, new_name: str, gallery: Path) -> int:
    """Rename a person."""
    with _open(gallery) as opened:
        opened.rename(name, new_name)
    say(f"{printable(name)} is now {printable(new_name)}")
    return 0


@app.command()
@with_options(
    name=NAME,
    into=Text("INTO", "Name to keep, of the same person.", argument=True),
    yes=Text("", "Do not compare them and do not ask for confirmation."),
    models=FACE_MODELS_OF_ANY_SIZE,
)
def merge(models: FaceModels, execution: Execution, name: str, into: str, gallery: Path, yes: bool = False) -> int:
    """Merge two entries of one person: the photos of NAME become those of INTO.

    If they look like different people, or cannot be compared, this asks first.

    Exit code: 0 merged, 1 not confirmed, 2 wrong usage.
    """
    from vision_app.faces.gallery.compare import ADVICE

    with _open(gallery, recognizer=None if yes else load_recognizer(models, execution)) as opened:
        try:
            opened.merge(name, into, allow_different=yes)
        except FaceError as error:
            say(printable(f"warning: {name} {error.reason.removesuffix(ADVICE)}"), err=True)
            if not _confirmed(f"Merge {printable(name)} into {printable(into)} all the same?"):
                say("nothing was merged; --yes merges without asking", err=True)
                return 1
            opened.merge(name, into, allow_different=True)
    say(f"{printable(name)} is now {printable(into)}")
    return 0


@app.command()
@with_options(name=NAME, yes=Text("", "Do not ask for confirmation."))
def forget(name: str, gallery: Path, yes: bool = False) -> int:
    """Delete everything that the gallery keeps of a person, and verify it.

    The gallery's files are rebuilt and then searched for what was deleted. Exports and copies of the gallery are not
    touched. The audit log keeps a random number that no longer refers to anything.

    Exit code: 0 deleted, 1 not confirmed or not possible, 2 wrong usage.
    """
    with _open(gallery) as opened:
        count = opened.store.person(name).photos
        if not yes and not _confirmed(f"Delete {printable(name)} and {amount(count, 'photo')} permanently?"):
            say("nothing was deleted", err=True)
            return 1
        done = opened.forget(name)
    files = ", ".join(Path(file).name for file in done.searched)
    say(f"deleted: {printable(name)}; none of {done.traces} traces is left in {files}")
    if done.unsought:
        texts = ", ".join(map(printable, done.unsought))
        say(f"deleted, but not searched for (too short, or shared with other people): {texts}")
    return 0


@app.command()
@with_options(
    output=Text("FILE.jsonl", "File to write.", argument=True),
    person=Text("NAME", "Export only this person; may be repeated.", show_default="everyone"),
)
def export(output: Path, gallery: Path, person: list[str] | None = None, overwrite: bool = False) -> int:
    """Export what is kept of everyone, or of some people, to a file that only its owner can read.

    One line per photo: name, embedding, image of the face, quality, consent. `faces import` reads it.
    """
    with _open(gallery, readonly=True) as opened:
        photos = opened.export(output, person, overwrite=overwrite)
    say(f"{printable(str(output))}: {amount(photos, 'photo')}")
    return 0


@app.command("import")
@with_options(
    file=Text("FILE.jsonl", "File written by `faces export`.", argument=True), allow_different=ALLOW_DIFFERENT
)
def import_people(file: Path, gallery: Path, allow_different: bool = False) -> int:
    """Import what `faces export` wrote, all or nothing; people of the same name get more photos.

    Photos of a name are refused if they are enrolled as another person, or clearly do not look like the person
    already enrolled under that name; the others are added.

    Exit code: 0 everything was added or already there, 1 some photos were refused, or the file is damaged, 2 wrong
    usage.
    """
    from vision_app.faces.gallery import Gallery
    from vision_app.faces.gallery.results import ACCEPTED

    with Gallery.open(gallery) as opened:
        answers = opened.import_file(file, allow_different=allow_different)
    for answer in answers:
        if answer.refused or (answer.code == ACCEPTED and answer.reason):
            _say(answer)
    return _sum_up(answers)


@app.command()
@with_options(models=FACE_MODELS_OF_ANY_SIZE)
def reembed(models: FaceModels, execution: Execution, gallery: Path) -> int:
    """Recompute all embeddings with another model, from the images of faces that the gallery keeps.

    All or nothing: until it is done, the gallery works with the old model.
    """
    recognizer = load_recognizer(models, execution)
    with _open(gallery, recognizer=recognizer) as opened:
        total = sum(person.photos for person in opened.people())
        with show_progress(total, 0) as report:
            photos = opened.reembed(lambda person: report([{"status": "ok"}] * person.photos))
    say(f"{amount(photos, 'photo')} embedded again, model {recognizer.model_id}")
    return 0


@app.command()
@with_options()
def check(gallery: Path) -> int:
    """Check the file for damage and bring it up to date: tables, interrupted deletions, a large index.

    Exit code: 0 no problems, 1 problems found, 2 wrong usage.
    """
    with _open(gallery) as opened:
        problems = opened.check()
        people = [] if problems else opened.people()
    for problem in problems:
        say(printable(problem), err=True)
    if not problems:
        photos = sum(person.photos for person in people)
        counts = f"{amount(len(people), 'person', 'people')}, {amount(photos, 'photo')}"
        say(f"{printable(str(gallery))}: {counts}, no problems found")
    return 1 if problems else 0


def _open(gallery: Path, *, readonly: bool = False, recognizer: "FaceRecognizer | None" = None) -> "OpenGallery":
    """Open a gallery that must exist."""
    from vision_app.faces.gallery import Gallery

    return Gallery.open(gallery, create=False, readonly=readonly, recognizer=recognizer)


def _say(answer: "Enrollment") -> None:
    """Print what became of a photo; if accepted, it is saved by now."""
    why = f": {answer.reason}" if answer.reason else f" as {answer.name}"
    say(printable(f"{answer.file}: {answer.code}{why}"))


def _sum_up(answers: "list[Enrollment]") -> int:
    """Print the last line of an enrollment, and return its exit code."""
    counts = Counter(answer.code for answer in answers)
    parts = ", ".join(f"{count:,} {code}" for code, count in counts.most_common())
    say(f"{amount(len(answers), 'photo')}: {parts or 'nothing to do'}")
    return 1 if any(answer.refused for answer in answers) else 0


def _confirmed(question: str) -> bool:
    """Ask for confirmation; no answer means no."""
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
