"""`vision-app faces` with a gallery: who is enrolled, and what is kept of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from vision_app.cli.faces import Detector, Device, Model, Runtime, Smallest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vision_app.faces.gallery import Enrollment

Gallery = Annotated[Path, Option(metavar="FILE.db", help="The gallery; only its owner may read it.")]
Name = Annotated[str, Argument(metavar="NAME", help="Somebody who is enrolled.")]


def enroll(
    gallery: Gallery,
    name: Annotated[str | None, Argument(metavar="NAME", help="Who it is.", show_default=False)] = None,
    photos: Annotated[
        list[str] | None,
        Argument(metavar="PHOTO", help="Images of one face each, folders and quoted patterns.", show_default=False),
    ] = None,
    folder: Annotated[
        Path | None,
        Option(metavar="PEOPLE/", help="Instead of NAME and PHOTO: a folder with a sub-folder a person.", exists=True),
    ] = None,
    consent: Annotated[str, Option(metavar="TEXT", help="A note of who agreed to what, kept with each photo.")] = "",
    largest: Annotated[bool, Option("--largest", help="Take the largest face of a photo that shows several.")] = False,
    allow_similar: Annotated[
        bool, Option("--allow-similar", help="Accept photos that look like somebody else enrolled, such as a twin.")
    ] = False,
    model: Model = "face-embedder",
    detector: Detector = "face-detector",
    smallest: Smallest = 20,
    device: Device = "auto",
    runtime: Runtime = "auto",
) -> int:
    """Make people known by photos, or better known by more photos. One photo is enough.

    Each photo gets a line: accepted, or why not. What is accepted is safe at once; photos that are enrolled already are
    passed over, so that a command that was broken off can be given again. A sub-folder whose name cannot be a person's
    holds up no other. The gallery keeps a small picture of each face, so that another model can embed it later.

    Exit code: 0 everybody is enrolled with every photo, 1 some photos were refused, 2 wrong usage.
    """
    from vision_app.core.errors import UsageError
    from vision_app.faces.gallery import Enrollment, Gallery
    from vision_app.faces.recognizer import FaceRecognizer

    if (folder is None) == (name is None) or (folder is None and not photos):
        raise UsageError("give NAME and at least one PHOTO, or --folder PEOPLE/ alone")
    portraits = list(_portraits(folder, name, photos or [], gallery))
    recognizer = FaceRecognizer.load(model, detector=detector, device=device, runtime=runtime, smallest=smallest)
    answers = []
    with Gallery.open(gallery, recognizer=recognizer) as opened:
        for person, file in portraits:
            options = {"consent": consent, "largest": largest, "allow_similar": allow_similar}
            try:
                answers += opened.enroll(person, [file], **options)
            except UsageError as error:  # the name cannot be used
                if folder is None:
                    raise
                answers.append(Enrollment(str(file), person, "bad_name", str(error)))
            _say(answers[-1])
    return _sum_up(answers)


def list_people(gallery: Gallery) -> int:
    """List who is enrolled: name, number of photos, since when."""
    with _open(gallery, readonly=True) as opened:
        people = opened.people()
        for person in people:
            photos = f"{person.photos} photo{'s' * (person.photos != 1)}"
            typer.echo(f"{_printable(person.name):<32} {photos:>10}  since {person.added}")
    if not people:
        typer.echo("nobody is enrolled", err=True)
    return 0


def show(name: Name, gallery: Gallery) -> int:
    """Show what is kept of somebody: a line a photo. `faces export --person NAME` writes all of it."""
    with _open(gallery, readonly=True) as opened:
        samples = opened.samples(name)
    for sample in samples:
        quality, consent = sample.quality, f", consent: {_printable(sample.consent)}" if sample.consent else ""
        typer.echo(
            f"photo {sample.source.hex()[:12]} of {sample.added}: face of {quality['size']:g} px, "
            f"quality {quality['score']:g}, model {sample.contract}{consent}"
        )
    return 0


def rename(
    name: Name, new_name: Annotated[str, Argument(metavar="NEW", help="The new name.")], gallery: Gallery
) -> int:
    """Give somebody another name."""
    with _open(gallery) as opened:
        opened.rename(name, new_name)
    typer.echo(f"{_printable(name)} is now {_printable(new_name)}")
    return 0


def merge(
    name: Name,
    into: Annotated[str, Argument(metavar="INTO", help="The same person under the name to keep.")],
    gallery: Gallery,
) -> int:
    """Make one person of two: the photos of NAME become those of INTO."""
    with _open(gallery) as opened:
        opened.merge(name, into)
    typer.echo(f"{_printable(name)} is now {_printable(into)}")
    return 0


def forget(
    name: Name, gallery: Gallery, yes: Annotated[bool, Option("--yes", help="Do not ask whether to do it.")] = False
) -> int:
    """Delete all that the gallery keeps of somebody, and prove it.

    The gallery's files are written anew, then searched for what was deleted. Exports and copies of the gallery are not
    touched. The audit log keeps a random number, which leads nowhere from then on.

    Exit code: 0 forgotten, 1 not confirmed or not possible, 2 wrong usage.
    """
    with _open(gallery) as opened:
        count = len(opened.samples(name))
        if not yes and not _is_sure(f"Forget {_printable(name)} and {count} photo{'s' * (count != 1)} for good?"):
            typer.echo("nothing was forgotten", err=True)
            return 1
        done = opened.forget(name)
    files = ", ".join(Path(file).name for file in done.searched)
    typer.echo(f"forgotten: {_printable(name)}; none of {done.traces} traces is left in {files}")
    if done.unsought:
        texts = ", ".join(map(_printable, done.unsought))
        typer.echo(f"deleted, but too short, or too much like what others have, to be looked for: {texts}")
    return 0


def export(
    output: Annotated[Path, Argument(metavar="FILE.jsonl", help="File to write; none is overwritten.")],
    gallery: Gallery,
    person: Annotated[
        list[str] | None, Option(metavar="NAME", help="Only this person; may be repeated.", show_default="everybody")
    ] = None,
) -> int:
    """Write what is kept of everybody, or of some, to a file that only its owner may read.

    A line a photo: name, embedding, picture of the face, quality, consent. `faces import` reads it.
    """
    with _open(gallery, readonly=True) as opened:
        photos = opened.export(output, person)
    typer.echo(f"{_printable(str(output))}: {photos:,} photo{'s' * (photos != 1)}")
    return 0


def import_people(
    file: Annotated[Path, Argument(metavar="FILE.jsonl", help="What `faces export` wrote.")], gallery: Gallery
) -> int:
    """Add what `faces export` wrote, all or nothing; who is known by name gets more photos.

    Exit code: 0 everything was added or there, 1 some photos are enrolled as somebody else, or the file is damaged, 2
    wrong usage.
    """
    from vision_app.faces.gallery import Gallery

    with Gallery.open(gallery) as opened:
        answers = opened.import_file(file)
    for answer in answers:
        if answer.refused:
            _say(answer)
    return _sum_up(answers)


def reembed(
    gallery: Gallery,
    model: Model = "face-embedder",
    detector: Detector = "face-detector",
    device: Device = "auto",
    runtime: Runtime = "auto",
) -> int:
    """Make all embeddings anew, with another model, from the pictures of faces that the gallery keeps.

    All or nothing: until it is done, the gallery works with the old model.
    """
    from vision_app.cli.progress import show_progress
    from vision_app.faces.recognizer import FaceRecognizer

    recognizer = FaceRecognizer.load(model, detector=detector, device=device, runtime=runtime)
    with _open(gallery, recognizer=recognizer) as opened:
        total = sum(person.photos for person in opened.people())
        with show_progress(total, 0) as report:
            photos = opened.reembed(lambda person: report([{"status": "ok"}] * person.photos))
    typer.echo(f"{photos:,} photo{'s' * (photos != 1)} embedded anew, model {recognizer.model_id}")
    return 0


def check(gallery: Gallery) -> int:
    """Look for damage, and bring the file up to date: tables, deletions that were broken off, a large index.

    Exit code: 0 all is well, 1 something is wrong, 2 wrong usage.
    """
    with _open(gallery) as opened:
        problems = opened.check()
        people = [] if problems else opened.people()
    for problem in problems:
        typer.echo(_printable(problem), err=True)
    if not problems:
        photos = sum(person.photos for person in people)
        typer.echo(f"{_printable(str(gallery))}: {len(people):,} people, {photos:,} photos, nothing wrong")
    return 1 if problems else 0


def _open(gallery: Path, **options):
    """A gallery that must be there."""
    from vision_app.faces.gallery import Gallery

    return Gallery.open(gallery, create=False, **options)


def _portraits(
    folder: Path | None, name: str | None, photos: list[str], gallery: Path
) -> "Iterator[tuple[str, str | Path]]":
    """Who is on which photo."""
    from vision_app.cli.batch import gather
    from vision_app.data.identities import load_identities

    if folder is not None:
        yield from ((portrait.identity, portrait.path) for portrait in load_identities(folder))
    else:
        yield from ((name, item.file) for item in gather(photos, gallery, named=False))


def _say(answer: "Enrollment") -> None:
    """Print what became of a photo; it is safe by now."""
    why = f": {answer.reason}" if answer.reason else f" as {answer.name}"
    print(_printable(f"{answer.file}: {answer.code}{why}"), flush=True)


def _sum_up(answers: "list[Enrollment]") -> int:
    """Print the last line of an enrollment, and return its exit code."""
    from collections import Counter

    counts = Counter(answer.code for answer in answers)
    parts = ", ".join(f"{count:,} {code}" for code, count in counts.most_common())
    typer.echo(f"{len(answers):,} photo{'s' * (len(answers) != 1)}: {parts or 'nothing to do'}")
    return 1 if any(answer.refused for answer in answers) else 0


def _is_sure(question: str) -> bool:
    """Ask; whoever cannot answer is not sure."""
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _printable(text: str) -> str:
    from vision_app.cli.progress import printable

    return printable(text)
