"""The Compare page: several detectors on the same images, side by side."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import streamlit as st

from vision_app import Detections, DetectOptions, Detector, RGBImage, __version__, draw
from vision_app.batch.run import cores
from vision_app.core.errors import ImageError, ModelError
from vision_app.core.figures import to_png
from vision_app.core.text import amounts, escape
from vision_app.detection.compare import FAMILY
from vision_app.detection.compare.measure import Conditions, Cost, Run, count_parameters
from vision_app.detection.compare.report import (
    DetectorView,
    ImageCard,
    about,
    counts_text,
    plot_stages,
    render,
    times_text,
)
from vision_app.detection.compare.table import DetectorSummary, agree, cells, make_line
from vision_app.ui import downloads, models
from vision_app.ui.images import MAX_ENTRIES, ImageFile, detect, infer, screen_image
from vision_app.ui.widgets.inputs import first_of, percentage, uploads_or_samples
from vision_app.ui.widgets.outputs import save, show_error, show_image

MAX_IMAGES = 10
ENSEMBLE = "+".join(FAMILY[:2])
TIMES = (
    "Times are medians over the images, from the decoded image to its boxes, measured while this page processed one "
    "image at a time without a warm-up: the first image of each detector may have taken longer. The detectors took "
    "turns on a machine that also served the page; `vision-app compare` measures more carefully."
)

Contender = tuple[Detector, DetectOptions]


class Answer(NamedTuple):
    """What one detector found in an image, the image for the screen and milliseconds by stage."""

    screen: RGBImage
    found: Detections
    times: dict[str, float]


Answers = Sequence[tuple[ImageFile, list[Answer] | ImageError]]


def page() -> None:
    """Draw the page."""
    st.title("Compare detectors", anchor=False)
    contenders = settings()
    images = uploads_or_samples("vision-app compare")
    if len(contenders) < 2:
        st.info("Choose at least two models to compare.")
        return
    limit = min(MAX_IMAGES, MAX_ENTRIES // (len(contenders) + 1))  # a slider must not run a network again
    overview = st.container()
    answers = [(image, card(image, contenders)) for image in first_of(images, limit, "vision-app compare")]
    if any(isinstance(answer, list) for _, answer in answers):
        with overview:
            lines = compared(answers, contenders)
            heads, rows = cells(lines)
            st.dataframe(dict(zip(heads, map(list, zip(*rows, strict=True)), strict=True)), hide_index=True)
            save("Report (HTML)", lambda: report(answers, lines), "report.html", "text/html")


def settings() -> list[Contender]:
    """Draw the sidebar and return the detectors to compare, each with its options."""
    names = list(models.detectors())
    if len(names) < 2:
        raise ModelError("a comparison needs two detectors: the folder models/ contains fewer")
    both = [ENSEMBLE] if {*FAMILY[:2]} <= {*names} else []
    contenders = []
    with st.sidebar:
        chosen = st.multiselect("Models", names + both, names[:2], help="The first is the reference for the others.")
        for name in chosen:
            detector = models.detector(name, "torch")  # which times the stages of a network separately
            label = f"Confidence of {escape(name)}"
            help = "Shows detections of this model with at least this confidence."
            confidence = percentage(label, detector.defaults["confidence"], name, help)
            contenders.append((detector, DetectOptions(confidence)))
    return contenders


def card(image: ImageFile, contenders: Sequence[Contender]) -> list[Answer] | ImageError:
    """Draw an image with the boxes of each detector and return the answers; or draw and return why it is unreadable."""
    answers = []
    try:
        for detector, options in contenders:
            with st.spinner(f"Running {escape(detector.name)} on {escape(image.name)} …"):
                inference = infer(image, detector)
            found, nms_ms = detect(inference, detector, options)
            answers.append(Answer(screen_image(image), found, inference.stages | {"nms": nms_ms}))
    except ImageError as error:
        show_error(error)
        return error
    with st.container(border=True):
        st.subheader(escape(image.name), anchor=False)
        first = answers[0].found
        for column, (screen, found, times) in zip(st.columns(len(answers)), answers, strict=True):
            with column:
                objects = amounts(found.count())
                show_image(draw(screen, found), f"{image.name} by {found.model}: {objects}")
                st.markdown(f"**{escape(found.model)}:** {escape(objects)}")
                if found is not first:
                    st.markdown(escape(counts_text(agree(first, found), first.model, found.model)))
                st.caption(escape(times_text(times)))
    return answers


def compared(answers: Answers, contenders: Sequence[Contender]) -> list[DetectorSummary]:
    """Sum up each detector; the first is the reference for the others."""
    columns = [
        [_row(image, answer if isinstance(answer, ImageError) else answer[i], detector) for image, answer in answers]
        for i, (detector, _) in enumerate(contenders)
    ]
    lines = []
    for rows, (detector, options) in zip(columns, contenders, strict=True):
        first, cost = None if rows is columns[0] else columns[0], Cost(count_parameters(detector))
        lines.append(make_line(rows, cost, first=first, conditions=Conditions.of(detector, options)))
    return lines


def _row(image: ImageFile, answer: Answer | ImageError, detector: Detector) -> dict[str, Any]:
    """Return the row that `vision-app compare` writes to comparison.jsonl."""
    if isinstance(answer, ImageError):
        return downloads.row(image, answer, detector.name)
    return downloads.row(image, answer.found, detector.name) | {"milliseconds": answer.times, "memory": None}


def report(answers: Answers, lines: Sequence[DetectorSummary]) -> str:
    """Return the report as one HTML file that contains the images."""
    plot = (downloads.data_url(to_png(plot_stages(lines)), "image/png"), "Time per image by stage")
    cards = [
        ImageCard(image.name, error=answer.reason)
        if isinstance(answer, ImageError)
        else ImageCard(image.name, tuple(_views(answer)))
        for image, answer in answers
    ]
    return render(lines, [plot], cards, about(lines, Run(__version__, cores()), TIMES))


def _views(answers: Sequence[Answer]) -> Iterator[DetectorView]:
    first = answers[0].found
    for screen, found, times in answers:
        counts = None if found is first else agree(first, found)
        source = downloads.data_url(downloads.encoded(draw(screen, found), ".jpg"), "image/jpeg")
        yield DetectorView(found.model, source, None, found.count(), times, counts)
