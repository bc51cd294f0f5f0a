"""`vision-app faces calibrate`: from which similarity on two faces count as one person."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from vision_app.cli.evaluate_faces import Detector, Device, Images, Model, Runtime, Split
from vision_app.cli.options import number

if TYPE_CHECKING:
    from vision_app.released.find import Model as ReleasedModel


def calibrate(
    data: Annotated[
        Path,
        Option(
            metavar="PEOPLE/|PEOPLE.csv|PAIRS.csv|FILE.npz",
            help="Photos as for `vision-app evaluate faces`, or what `vision-app faces embed` wrote from a folder with "
            "a sub-folder a person.",
            exists=True,
        ),
    ],
    output: Annotated[Path, Option(metavar="DIR", help="New folder for figures, tables and plots.", file_okay=False)],
    far: Annotated[
        list[float] | None,
        Option(
            metavar="RATE",
            parser=number,
            help="Wanted false accept rate; may be repeated.",
            show_default="0.01 and 0.001",
        ),
    ] = None,
    apply: Annotated[
        bool,
        Option("--apply", help="Write the thresholds into the model folder's model.json, for verify and identify."),
    ] = False,
    images: Images = None,
    split: Split = None,
    model: Model = "face-embedder",
    detector: Detector = "face-detector",
    device: Device = "auto",
    runtime: Runtime = "auto",
) -> int:
    """Find the thresholds for wanted rates of strangers who are taken for the same person.

    They are found on half of the people and checked on the other half. DIR gets calibration.json, tables as CSV and
    plots as PNG: ROC, DET and similarities. With --apply, verify and identify use the thresholds from then on. Too few
    photos for a wanted rate are refused: it takes 10 / RATE pairs of different people in each half.

    Exit code: 0 measured, 1 the data cannot be used, 2 wrong usage.
    """
    from vision_app.cli.evaluate import check_empty
    from vision_app.cli.evaluate_faces import embed_photos
    from vision_app.core.errors import UsageError
    from vision_app.faces.calibration import KEY
    from vision_app.faces.evaluate import calibrate as thresholds
    from vision_app.faces.evaluate.report import calibration_dict, calibration_summary, write_calibration
    from vision_app.faces.evaluate.embedding_file import read_embeddings
    from vision_app.faces.evaluate.pairs import load_photos, of_files
    from vision_app.faces.recognizer import FaceRecognizer

    fars = sorted(set(far or (0.01, 0.001)), reverse=True)
    for rate in fars:
        if not 0 < rate <= thresholds.MAX_FAR:
            raise UsageError(f"--far {rate:g}: must be above 0 and at most {thresholds.MAX_FAR:g}")
    check_empty(output)
    target = model_folder(model) if apply else None
    if data.suffix.lower() == ".npz":
        files, embeddings, model_id = read_embeddings(data)
        photos = of_files(files, data)
        thresholds.check_enough(photos, fars)
    else:
        recognizer = FaceRecognizer.load(model, detector=detector, device=device, runtime=runtime, threads=1)
        photos, model_id = load_photos(data, images, split), recognizer.model_id
        thresholds.check_enough(photos, fars)
        embeddings = embed_photos(recognizer, photos, output)
    if target and target.value("contract", str) != model_id:
        raise UsageError(f"--data {data}: its embeddings are not of model '{model}'; embed the photos with it")
    outcome = thresholds.calibrate(photos, embeddings, fars)
    for line in calibration_summary(outcome):
        print(line)
    output.mkdir(parents=True, exist_ok=True)
    about = {"data": str(data), "contract": model_id}
    write_calibration(outcome, output, about)
    print(f"\nfigures, tables and plots are in {output}")
    if target:
        from vision_app.released.write import describe

        describe(target.folder, **{KEY: calibration_dict(outcome)})
        print(f"the thresholds are in {target.folder / 'model.json'}")
    return 0


def model_folder(name: str) -> "ReleasedModel":
    """Return a model that thresholds can be written into.

    Raises:
        ModelError: There is no such model.
        UsageError: It is an exported file.
    """
    from vision_app.core.errors import UsageError
    from vision_app.faces.embedder import TASK
    from vision_app.released.find import find

    found = find(name, TASK)
    if found.is_file:
        raise UsageError(f"--apply: {name} is an exported file; calibrate the model folder and export it again")
    return found
