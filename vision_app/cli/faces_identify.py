"""`vision-app faces identify` and `group`: who is on many photos, by name and without."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from vision_app.cli.faces import (
    Detector,
    Device,
    MaxMegapixels,
    Model,
    Resume,
    Runtime,
    Smallest,
    Sources,
    Workers,
)
from vision_app.cli.faces_people import Gallery
from vision_app.cli.options import number

if TYPE_CHECKING:
    from vision_app.faces.recognizer import FaceRecognizer


def identify(
    sources: Sources,
    gallery: Gallery,
    output: Annotated[Path, Option(metavar="DIR", help="Folder for identities.jsonl.")],
    fpir: Annotated[
        float,
        Option(
            metavar="RATE",
            parser=number,
            help="False positive identification rate: the share of strangers who may get a name.",
        ),
    ] = 0.01,
    repeats: Annotated[bool, Option("--repeats", help="Let several faces of an image have one name.")] = False,
    model: Model = "face-embedder",
    detector: Detector = "face-detector",
    smallest: Smallest = 20,
    workers: Workers = None,
    device: Device = "auto",
    runtime: Runtime = "auto",
    max_megapixels: MaxMegapixels = 100,
    resume: Resume = False,
) -> int:
    """Say who is on images.

    DIR/identities.jsonl gets one row an image, in the order of the sources (folders by path). Each face has a name, or
    null where nobody enrolled is near enough, and the nearest people as candidates whatever the verdict. How near is
    enough depends on how many people are enrolled, so that strangers get a name at the rate asked for. Nobody is on an
    image twice, unless --repeats allows it. Whoever is enrolled, renamed or forgotten during the run is so for the rows
    to come; two runs give the same rows only while the gallery stays as it is.

    Names are personal data: only the owner of DIR/identities.jsonl may read it.

    Exit code: 0 all images were handled, 1 some failed, 2 wrong usage or nothing to do.
    """
    from vision_app.batch.sinks import Journal
    from vision_app.cli.batch import gather, pixel_limit, run_all
    from vision_app.core.files import OWNER_ONLY
    from vision_app.faces.batch import FacesTask
    from vision_app.faces.gallery import Gallery

    max_pixels = pixel_limit(max_megapixels)
    recognizer = _load(model, detector, smallest, device, runtime)
    with Gallery.open(gallery, readonly=True, recognizer=recognizer) as opened:
        opened.store.require(recognizer.model_id)
        if people := opened.store.count_people():
            lowest = f"a name from similarity {opened.matcher.threshold(fpir):.3f} on"
            print(f"{people:,} people, {lowest}; it takes a little more for people with several photos")
        inputs = gather(sources, output, named=False)
        settings = {
            "--gallery": f"{gallery} {opened.store.revision}",
            "--fpir": fpir,
            "--repeats": repeats,
            **_settings(recognizer, model, detector, smallest, max_megapixels),
        }
        path = output / "identities.jsonl"
        run = {"settings": settings, "inputs": inputs, "batch_size": 1, "resume": resume, "permissions": OWNER_ONLY}
        with Journal(path, **run) as journal:
            task = FacesTask(
                lambda image: opened.identify(image, fpir=fpir, repeats=repeats),
                {"contract": recognizer.model_id},
                device=recognizer.detector.device,
                max_pixels=max_pixels,
            )
            return run_all(task, journal, workers=workers)


def group(
    sources: Sources,
    output: Annotated[Path, Option(metavar="DIR", help="Folder for groups.json and faces.jsonl.")],
    gallery: Annotated[
        Path | None, Option(metavar="FILE.db", help="Mark groups of people enrolled here by their random ids.")
    ] = None,
    far: Annotated[
        float,
        Option(metavar="RATE", parser=number, help="False accept rate of the similarity from which faces are joined."),
    ] = 0.001,
    model: Model = "face-embedder",
    detector: Detector = "face-detector",
    smallest: Smallest = 20,
    workers: Workers = None,
    device: Device = "auto",
    runtime: Runtime = "auto",
    max_megapixels: MaxMegapixels = 100,
    resume: Resume = False,
) -> int:
    """Say which faces are of one person and who appears together, without names.

    DIR/groups.json lists the groups, the largest first, with their faces, and in how many images two groups are
    together. Faces that are too small, blurred, turned away, dark or bright to tell are left out and counted. It is
    written when all images are done; DIR/faces.jsonl keeps the faces and their embeddings, which are personal data.

    Exit code: 0 all images were handled, 1 some failed, 2 wrong usage or nothing to do.
    """
    from contextlib import nullcontext

    from vision_app.batch.sinks import Journal, read_rows, remove
    from vision_app.cli.batch import gather, pixel_limit, run_all
    from vision_app.core.files import OWNER_ONLY
    from vision_app.faces.batch import FacesTask
    from vision_app.faces.gallery import Gallery
    from vision_app.faces.group import write_groups

    max_pixels = pixel_limit(max_megapixels)
    recognizer = _load(model, detector, smallest, device, runtime)
    threshold = recognizer.calibration.threshold(far)
    inputs = gather(sources, output, named=False)
    settings = _settings(recognizer, model, detector, smallest, max_megapixels)
    path, groups = output / "faces.jsonl", output / "groups.json"
    known = nullcontext() if gallery is None else Gallery.open(gallery, readonly=True, recognizer=recognizer)
    run = {"settings": settings, "inputs": inputs, "batch_size": 1, "resume": resume, "permissions": OWNER_ONLY}
    with known as opened, Journal(path, **run) as journal:
        if opened is not None:
            opened.store.require(recognizer.model_id)
        remove(groups)
        task = FacesTask(
            recognizer,
            {"model": recognizer.detector.name, "contract": recognizer.model_id},
            device=recognizer.detector.device,
            max_pixels=max_pixels,
        )
        code = run_all(task, journal, workers=workers)
        if journal.rows == len(inputs):
            known_by = None if opened is None else opened.matcher.person_of
            people = write_groups(groups, read_rows(path), threshold=threshold, far=far, person_of=known_by)
            typer.echo(f"{people:,} people, see {groups.name}")
    return code


def _load(model: str, detector: str, smallest: float, device: str, runtime: str) -> "FaceRecognizer":
    from vision_app.faces.recognizer import FaceRecognizer

    return FaceRecognizer.load(model, detector=detector, device=device, runtime=runtime, threads=1, smallest=smallest)


def _settings(recognizer: "FaceRecognizer", model: str, detector: str, smallest: float, max_megapixels: float) -> dict:
    """What the rows depend on, by the name of its flag."""
    return {
        "--model": f"{model} {recognizer.model_id}",
        "--detector": f"{detector} {recognizer.detector.digest[:12]}",
        "--device": recognizer.detector.device.partition(":")[0],
        "--runtime": recognizer.detector.runtime,
        "--smallest": smallest,
        "--max-megapixels": max_megapixels,
    }
