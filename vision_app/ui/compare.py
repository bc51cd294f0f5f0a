"""The Compare page: the same pictures through several detectors, side by side."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import streamlit as st

from vision_app import Detections, DetectOptions, Detector, __version__, draw
from vision_app.batch.run import cores
from vision_app.core.errors import ImageError, ModelError
from vision_app.core.figures import to_png
from vision_app.detection.compare import FAMILY
from vision_app.detection.compare.agreement import agree
from vision_app.detection.compare.measure import Conditions, Cost, Run, count_parameters
from vision_app.detection.compare.plots import plot_stages
from vision_app.detection.compare.report import Card, View, about, counts_text, render, times_text
from vision_app.detection.compare.table import Line, cells, make_line
from vision_app.ui import downloads, models
from vision_app.ui.detect import chosen, counted, percentage
from vision_app.ui.inference_cache import KEPT_LOOKS, Look, find, look
from vision_app.ui.pictures import Picture
from vision_app.ui.text import amount, plain

MOST_PICTURES = 10
ENSEMBLE = "+".join(FAMILY[:2])
TIMES = (
    "Times are medians over the pictures as this page looked at them, one at a time, from the decoded picture to its "
    "boxes, without a warm-up: the first picture of each detector may have taken longer. The detectors took turns on "
    "a machine that also served the page; `vision-app compare` measures more carefully."
)

Contender = tuple[Detector, DetectOptions]


def page() -> None:
    """Draw the page."""
    st.title("Compare detectors", anchor=False)
    contenders = settings()
    pictures = chosen()
    if len(contenders) < 2:
        st.info("Choose at least two models to compare.")
        return
    most = min(MOST_PICTURES, KEPT_LOOKS // len(contenders))  # a slider must not make a network run again
    if len(pictures) > most:
        st.warning(
            f"Here are the first {most} of {amount(len(pictures), 'picture')}. "
            "For more there is the command `vision-app compare`."
        )
    overview = st.container()
    answers = [(picture, card(picture, contenders)) for picture in pictures[:most]]
    if any(isinstance(answer, list) for _, answer in answers):
        with overview:
            summary(answers, contenders)


def settings() -> list[Contender]:
    """Draw the sidebar and return the detectors to compare, each with what to keep of its answers."""
    names = models.names("detection")
    if len(names) < 2:
        raise ModelError("there are no two models to compare: the folder models/ holds fewer")
    both = [ENSEMBLE] if {*FAMILY[:2]} <= {*names} else []
    contenders = []
    with st.sidebar:
        for name in st.multiselect("Models", names + both, names[:2], help="The others are compared with the first."):
            detector = models.detector(name, "torch")  # which tells the stages of a network apart
            label = f"Confidence of {plain(name)}"
            help = "Shows the objects that this model is at least so sure of."
            confidence = percentage(label, detector.defaults["confidence"], name, help)
            contenders.append((detector, DetectOptions(confidence)))
    return contenders


Answer = tuple[Look, Detections, dict[str, float]]  # what one detector saw, found and took, in milliseconds by stage


def card(picture: Picture, contenders: Sequence[Contender]) -> list[Answer] | ImageError:
    """Draw a picture as each detector sees it and return the answers; or draw and return why it cannot be read."""
    kept, answers = st.session_state.setdefault("looks", OrderedDict()), []
    try:
        for detector, options in contenders:
            with st.spinner(f"{plain(detector.name)} looks at {plain(picture.name)} …"):
                seen = look(picture, detector, kept)
            found, nms_ms = find(seen, detector, options)
            answers.append((seen, found, seen.stages | {"nms": nms_ms}))
    except ImageError as error:
        st.error(plain(str(error)), icon=":material/broken_image:")
        return error
    with st.container(border=True):
        st.subheader(plain(picture.name), anchor=False)
        first = answers[0][1]
        for column, (seen, found, times) in zip(st.columns(len(answers)), answers, strict=True):
            with column:
                objects = counted(found.count())
                alt = f"{picture.name} by {found.model}: {objects}"
                st.image(draw(seen.view, found), width="stretch", output_format="JPEG", alt=alt)
                st.markdown(f"**{plain(found.model)}:** {plain(objects)}")
                if found is not first:
                    st.markdown(plain(counts_text(agree(first, found).counts, first.model)))
                st.caption(plain(times_text(times)))
    return answers


def summary(answers: Sequence[tuple[Picture, list[Answer] | ImageError]], contenders: Sequence[Contender]) -> None:
    """Draw the table over all pictures and the report's button."""
    lines = list(compared(answers, contenders))
    heads, rows = cells(lines)
    columns = dict(zip(heads, zip(*rows, strict=True), strict=True))
    st.dataframe({head: list(column) for head, column in columns.items()}, hide_index=True)
    st.download_button(
        "Report (HTML)", lambda: report(answers, contenders), "report.html", "text/html", on_click="ignore",
        icon=":material/download:",
    )  # fmt: skip


def compared(
    answers: Sequence[tuple[Picture, list[Answer] | ImageError]], contenders: Sequence[Contender]
) -> Iterator[Line]:
    """Sum up each detector; the first is the one that others are compared with."""
    columns = [
        [
            _row(picture, answer if isinstance(answer, ImageError) else answer[i], detector)
            for picture, answer in answers
        ]
        for i, (detector, _) in enumerate(contenders)
    ]
    for rows, (detector, options) in zip(columns, contenders, strict=True):
        first = None if rows is columns[0] else columns[0]
        cost, conditions = Cost(count_parameters(detector)), Conditions.of(detector, options)
        yield make_line(rows, cost, first=first, conditions=conditions)


def _row(picture: Picture, answer: Answer | ImageError, detector: Detector) -> dict:
    """What one detector answered to a picture, as `vision-app compare` writes it to comparison.jsonl."""
    if isinstance(answer, ImageError):
        return downloads.row(picture, answer, detector.name)
    _, found, times = answer
    return downloads.row(picture, found, detector.name) | {"milliseconds": times, "memory": None}


def report(answers: Sequence[tuple[Picture, list[Answer] | ImageError]], contenders: Sequence[Contender]) -> str:
    """Return the report as one HTML file, with the pictures in it."""
    lines = list(compared(answers, contenders))
    plot = (downloads.data_url(to_png(plot_stages(lines)), "image/png"), "Share of each stage in the time of a picture")
    cards = [_card(picture, answer) for picture, answer in answers]
    return render(lines, [plot], cards, about(lines, Run(__version__, cores()), TIMES))


def _card(picture: Picture, answer: list[Answer] | ImageError) -> Card:
    if isinstance(answer, ImageError):
        return Card(picture.name, error=answer.reason)
    first, views = answer[0][1], []
    for seen, found, times in answer:
        counts = None if found is first else agree(first, found).counts
        source = downloads.data_url(downloads.encoded(draw(seen.view, found), ".jpg"), "image/jpeg")
        views.append(View(found.model, source, None, found.count(), times, counts))
    return Card(picture.name, tuple(views))
