"""`vision-app faces identify` and `group`: who is on many images, by name and without."""

from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from vision_app.cli.batch import gather, run_batch
from vision_app.cli.faces import app, embed_images, load_recognizer, recognizer_settings
from vision_app.cli.options import FACE_MODELS, ONE_THREAD, Batch, FaceModels, Text, output_folder, with_options
from vision_app.cli.terminal import say
from vision_app.core.files import OWNER_ONLY
from vision_app.core.text import amount
from vision_app.released.execution import Execution


@app.command()
@with_options(
    execution=ONE_THREAD,
    output=output_folder("Folder for identities.jsonl."),
    fpir=Text("RATE", "False positive identification rate: the share of strangers who may get a name."),
    repeats=Text("", "Let several faces of an image have the same name."),
    models=FACE_MODELS,
)
def identify(
    models: FaceModels,
    execution: Execution,
    batch: Batch,
    sources: list[str],
    gallery: Path,
    output: Path,
    fpir: float = 0.01,
    repeats: bool = False,
) -> int:
    """Say who is on images.

    DIR/identities.jsonl gets one row per image, in the order of the sources (folders by path). Each face has a name, or
    null where no enrolled person is similar enough, and the most similar people as candidates in either case. A face
    that is hard to recognize gets no name but the reasons why (too small, blurred, covered and so on). The
    threshold depends on how many people are enrolled, so that strangers get a name at the given rate. A name appears
    once per image, unless --repeats is given. People who are enrolled, renamed or forgotten during the run change the
    rows that follow; two runs give the same rows only while the gallery stays as it is.

    Names are personal data: only the owner of DIR/identities.jsonl can read it.

    Exit code: 0 all images were handled, 1 some failed, 2 wrong usage or nothing to do.
    """
    from vision_app.faces.batch import FacesTask
    from vision_app.faces.gallery import Gallery

    recognizer = load_recognizer(models, execution)
    with Gallery.open(gallery, readonly=True, recognizer=recognizer) as opened:
        opened.store.require(recognizer.model_id)
        if people := opened.store.count_people():
            lowest = f"named from similarity {opened.matcher.threshold(fpir):.3f}"
            more = "slightly more is needed for people with several photos"
            say(f"{amount(people, 'person', 'people')}, {lowest}; {more}")
        settings = {
            "--gallery": f"{gallery} {opened.store.revision}",
            "--fpir": fpir,
            "--repeats": repeats,
            **recognizer_settings(recognizer, models, batch),
        }
        return run_batch(
            lambda: FacesTask(
                lambda image: opened.identify(image, fpir=fpir, repeats=repeats),
                {"contract": recognizer.model_id},
                device=recognizer.detector.device,
                limits=batch.limits,
            ),
            output / "identities.jsonl",
            inputs=gather(sources, output, named=False),
            settings=settings,
            options=batch,
            sources=[gallery],
            permissions=OWNER_ONLY,
        )


@app.command()
@with_options(
    execution=ONE_THREAD,
    output=output_folder("Folder for groups.json and faces.jsonl."),
    gallery=Text("FILE.db", "Label the groups of people enrolled here with their random ids."),
    models=FACE_MODELS,
)
def group(
    models: FaceModels,
    execution: Execution,
    batch: Batch,
    sources: list[str],
    output: Path,
    gallery: Path | None = None,
    far: float = 0.001,
) -> int:
    """Group the faces of the same person and say who appears together, without names.

    DIR/groups.json lists the groups, the largest first, with their faces, and in how many images two groups appear
    together. Faces that are hard to recognize join no group; they are listed as ungrouped, with the reasons. It is
    written when all images are done; DIR/faces.jsonl keeps the faces and their embeddings, which are personal data.

    Exit code: 0 all images were handled, 1 some failed, 2 wrong usage or nothing to do.
    """
    from vision_app.batch.sinks import remove
    from vision_app.faces.gallery import Gallery
    from vision_app.faces.group import write_groups

    recognizer = load_recognizer(models, execution)
    threshold, groups = recognizer.calibration.threshold(far), output / "groups.json"
    inputs = gather(sources, output, named=False)
    known = nullcontext() if gallery is None else Gallery.open(gallery, readonly=True, recognizer=recognizer)
    with known as opened:
        if opened is not None:
            opened.store.require(recognizer.model_id)

        def finish(rows: Iterable[dict[str, Any]]) -> None:
            remove(groups)
            known_by = None if opened is None else opened.matcher.person_of
            people = write_groups(groups, rows, threshold=threshold, far=far, person_of=known_by)
            say(f"{amount(people, 'person', 'people')}, see {groups.name}")

        return embed_images(recognizer, models, batch, inputs, output / "faces.jsonl", groups, finish)
