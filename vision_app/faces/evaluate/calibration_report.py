"""A calibration on paper: JSON, CSV tables, plots and lines of text."""

from collections.abc import Iterator
from pathlib import Path

from vision_app.batch.sinks import write_csv
from vision_app.faces.calibration import FPIR
from vision_app.faces.evaluate.calibrate import GALLERIES, Outcome
from vision_app.faces.evaluate.metrics import roc
from vision_app.faces.evaluate.plots import plot_det, plot_roc, plot_similarities, write_figures
from vision_app.faces.evaluate.report import plain, roc_lines, share, write_json


def to_dict(outcome: Outcome) -> dict:
    """What goes into model.json: the calibration, and under "held_out" how it did on people whom it does not know."""
    held_out = {
        "genuine_pairs": int(outcome.held_out.same.sum()),
        "impostor_pairs": int((~outcome.held_out.same).sum()),
        "verify": [
            {
                "far": check.far,
                "threshold": plain(check.threshold),
                "measured_far": share(check.false) | {"low": plain(check.low), "high": plain(check.high)},
                "tar": share(check.true),
            }
            for check in outcome.checks
        ],
        "identify": [
            {
                "people": gallery.people,
                "photos": gallery.photos,
                "fpir": FPIR,
                "threshold": plain(gallery.threshold),
                "measured_fpir": share(gallery.false),
            }
            for gallery in outcome.galleries
        ],
    }
    return outcome.calibration.to_dict() | {"held_out": held_out}


def write_report(outcome: Outcome, folder: Path, about: dict) -> None:
    """Writes `calibration.json`, which starts with `about`, two tables as CSV files and three plots as PNG files.

    Raises:
        OutputError: something could not be written.
    """
    curves = {
        "people it was fitted to": roc(outcome.fitted.similarity, outcome.fitted.same),
        "other people": roc(outcome.held_out.similarity, outcome.held_out.same),
    }
    write_csv(folder / "roc.csv", ("pairs", "far", "threshold", "tar"), list(roc_lines(curves)), lambda line: [line])
    rates = [(rate.far, rate.threshold, rate.low, rate.high) for rate in outcome.calibration.rates]
    write_csv(folder / "thresholds.csv", ("far", "threshold", "low", "high"), rates, lambda line: [line])
    write_json(folder / "calibration.json", about | to_dict(outcome))
    thresholds = {f"FAR {check.far:g}": check.threshold for check in outcome.checks}
    figures = {
        "roc": plot_roc(curves),
        "det": plot_det(curves),
        "similarities": plot_similarities(outcome.held_out, thresholds),
    }
    write_figures(figures, folder)


def summary(outcome: Outcome) -> Iterator[str]:
    """The figures that matter, in lines of text."""
    calibration = outcome.calibration
    people = f" of {calibration.people:,} people" if calibration.people else ""
    most, least = calibration.fars[0], calibration.fars[-1]
    yield (
        f"thresholds of rates from {most:g} to {least:g}, found on {calibration.impostor_pairs:,} pairs of "
        f"different people and {calibration.genuine_pairs:,} of one person{people}"
    )
    if not people:
        yield "nobody says who is on the photos: a person may be in both halves, and the intervals are too narrow"
    for check in outcome.checks:
        rate = next(rate for rate in calibration.rates if rate.far == check.far)
        low, high = check.true.interval
        yield f"\nFAR {check.far:g}: threshold {rate.threshold:.4f} ({rate.low:.4f}-{rate.high:.4f})"
        yield (
            f"  on other people {check.false.rate:.2g} ({check.low:.2g}-{check.high:.2g}): {check.false.count:,} of "
            f"{check.false.total:,} pairs of different people"
        )
        yield f"  TAR {check.true.rate:.4f} ({low:.4f}-{high:.4f}) of {check.true.total:,} pairs of one person"
    yield f"\nidentify, strangers with a name wanted in {FPIR:.0%} of cases:"
    most = calibration.measured_people(FPIR)
    for people in GALLERIES:
        beyond = "" if people <= most else ", by the tail fitted to the most similar strangers"
        yield f"  {people:,} people: threshold {calibration.identify_threshold(people):.4f}{beyond}"
    if calibration.gains:
        gains = ", ".join(f"{gain.similarity:.4f} for {gain.photos}" for gain in calibration.gains)
        yield f"  with several photos of a person, whose mean is nearer to strangers, higher by {gains}"
    else:
        yield "  with several photos of a person, higher by a rule: too few people have several to measure that"
    for gallery in outcome.galleries:
        photos = f"{gallery.photos} photo{'s' if gallery.photos > 1 else ''} each"
        yield (
            f"  on other people, {gallery.people} enrolled with {photos}: {gallery.false.rate:.2%} of "
            f"{gallery.false.total:,} looks of strangers"
        )
