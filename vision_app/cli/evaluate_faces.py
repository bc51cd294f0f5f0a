"""`vision-app evaluate faces` and `faces calibrate`: how well people are told apart, and from which threshold."""

from pathlib import Path
from typing import TYPE_CHECKING

from vision_app.cli.evaluate import app, check_empty, written_rows
from vision_app.cli.faces import app as faces_app
from vision_app.cli.faces import load_recognizer
from vision_app.cli.options import FACE_MODELS_OF_ANY_SIZE, ONE_THREAD, FaceModels, Text, with_options
from vision_app.cli.terminal import say
from vision_app.core.errors import UsageError
from vision_app.core.files import OWNER_ONLY
from vision_app.released.execution import Execution
from vision_app.released.find import Model, find

if TYPE_CHECKING:
    import numpy as np

    from vision_app.faces.evaluate.pairs import FacePhotos
    from vision_app.faces.recognizer import FaceRecognizer

IMAGES = Text(
    "FOLDER", "Folder of the files in a list of pairs.", show_default="that of the list", exists=True, file_okay=False
)


@app.command()
@with_options(
    data=Text(
        "PAIRS.csv|PEOPLE/|PEOPLE.csv",
        "Pairs (columns file_a, file_b, same; optionally fold, group, identity_a, identity_b), a folder with a "
        "sub-folder per person, or a table (columns file, identity; optionally split, group).",
        exists=True,
    ),
    images=IMAGES,
    models=FACE_MODELS_OF_ANY_SIZE,
    execution=ONE_THREAD,
)
def faces(
    models: FaceModels,
    execution: Execution,
    data: Path,
    output: Path,
    images: Path | None = None,
    split: str | None = None,
    overwrite: bool = False,
) -> int:
    """Measure how well faces are detected, embedded and told apart.

    In a photo with several faces, the largest counts. A pair with a photo without a detected face counts as rejected
    if it shows one person, is left out of the false accept rates, and is wrong in the accuracy. The accuracy on listed
    pairs follows LFW: the threshold of each fold is the best one on the others; without a column fold, ten folds are
    drawn by person. Where people are known, every photo is also compared with every other one, for the low rates.

    DIR gets evaluation.json with all metrics, tables as CSV and plots as PNG: ROC, DET, similarities and maps of the
    embeddings.

    Exit code: 0 measured, 1 the data or some of its images cannot be used, 2 wrong usage.
    """
    from vision_app.faces.evaluate.evaluation import evaluate
    from vision_app.faces.evaluate.pairs import load_photos
    from vision_app.faces.evaluate.report import evaluation_summary, write_evaluation

    check_empty(output, overwrite, data)
    recognizer = load_recognizer(models, execution)
    photos = load_photos(data, images, split)
    embeddings = embed_photos(recognizer, photos, output, overwrite)
    evaluation = evaluate(photos, embeddings)
    say(f"{models.model} on {data}", *evaluation_summary(evaluation))
    about = {"data": str(data), "model": models.model, "detector": models.detector, "contract": recognizer.model_id}
    say("drawing plots and maps", err=True)
    write_evaluation(evaluation, output, about)
    say(f"\nmetrics, tables and plots are in {output}")
    return 0


@faces_app.command()
@with_options(
    data=Text(
        "PEOPLE/|PEOPLE.csv|PAIRS.csv|FILE.npz",
        "Photos as for `vision-app evaluate faces`, or what `vision-app faces embed` wrote for a folder with a "
        "sub-folder per person.",
        exists=True,
    ),
    far=Text("RATE", "Target false accept rate; may be repeated.", show_default="0.01 and 0.001"),
    apply=Text("", "Write the thresholds into the model folder's model.json, for verify and identify."),
    images=IMAGES,
    models=FACE_MODELS_OF_ANY_SIZE,
    execution=ONE_THREAD,
)
def calibrate(
    models: FaceModels,
    execution: Execution,
    data: Path,
    output: Path,
    far: list[float] | None = None,
    apply: bool = False,
    images: Path | None = None,
    split: str | None = None,
    overwrite: bool = False,
) -> int:
    """Find the similarity thresholds for target false accept rates.

    They are found on half of the people and checked on the other half. DIR gets calibration.json, tables as CSV and
    plots as PNG: ROC, DET and similarities. With --apply, verify and identify use the thresholds from then on. Too few
    photos for a target rate are refused: it takes 10 / RATE pairs of different people in each half.

    Exit code: 0 measured, 1 the data cannot be used, 2 wrong usage.
    """
    from vision_app.faces.batch import read_embeddings
    from vision_app.faces.calibration import KEY
    from vision_app.faces.evaluate import calibrate as thresholds
    from vision_app.faces.evaluate.pairs import load_photos, of_files
    from vision_app.faces.evaluate.report import calibration_dict, calibration_summary, write_calibration

    fars = sorted(set(far or (0.01, 0.001)), reverse=True)
    for rate in fars:
        if not 0 < rate <= thresholds.MAX_FAR:
            raise UsageError(f"--far {rate:g}: must be above 0 and at most {thresholds.MAX_FAR:g}")
    check_empty(output, overwrite, data)
    target = _model_folder(models.model) if apply else None
    if data.suffix.lower() == ".npz":
        files, embeddings, model_id = read_embeddings(data)
        photos = of_files(files, data)
        thresholds.check_enough(photos, fars)
    else:
        recognizer = load_recognizer(models, execution)
        photos, model_id = load_photos(data, images, split), recognizer.model_id
        thresholds.check_enough(photos, fars)
        embeddings = embed_photos(recognizer, photos, output, overwrite)
    if target and target.value("contract", str) != model_id:
        raise UsageError(
            f"--data {data}: has embeddings of another model than '{models.model}'; embed the photos with it"
        )
    outcome = thresholds.calibrate(photos, embeddings, fars)
    say(*calibration_summary(outcome))
    output.mkdir(parents=True, exist_ok=True)
    write_calibration(outcome, output, {"data": str(data), "contract": model_id})
    say(f"\nmetrics, tables and plots are in {output}")
    if target:
        from vision_app.released.write import describe

        describe(target.folder, **{KEY: calibration_dict(outcome)})
        say(f"the thresholds are in {target.folder / 'model.json'}")
    return 0


def _model_folder(name: str) -> Model:
    """Return a model that thresholds can be written into.

    Raises:
        ModelError: There is no such model.
        UsageError: It is an exported file.
    """
    from vision_app.faces.embedder import TASK

    found = find(name, TASK)
    if found.is_file:
        raise UsageError(f"--apply: {name} is an exported file; calibrate the model folder and export it again")
    return found


def embed_photos(recognizer: "FaceRecognizer", photos: "FacePhotos", output: Path, overwrite: bool) -> "np.ndarray":
    """Embed the largest face of each photo, with progress; the rows of all faces stay in the private DIR/faces.jsonl.

    Returns:
        (F, D) float32 unit vectors, NaN where no face was found.

    Raises:
        DataError: Some photos cannot be read; nothing is left in the folder.
    """
    from vision_app.batch.journal import read_rows
    from vision_app.faces.batch import FacesTask, largest_faces

    embedder, finder, path = recognizer.embedder, recognizer.detector, output / "faces.jsonl"
    about = {"model": finder.name, "contract": recognizer.model_id}
    task = FacesTask(recognizer, about, device=embedder.device)
    files = [str(photo) for photo in photos.paths]
    with written_rows(task, embedder, files, path, {"--detector": finder.name}, OWNER_ONLY, overwrite):
        pass
    return largest_faces(read_rows(path), embedder.dimension)
