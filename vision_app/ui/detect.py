"""The Detect page: pictures in, boxes out, and sliders that answer at once."""

import json
from collections import Counter, OrderedDict
from functools import partial

import streamlit as st

from vision_app import Detections, DetectOptions, Detector, draw
from vision_app.core.errors import ImageError, ModelError
from vision_app.ui import classify, downloads, models, uploads
from vision_app.ui.inference_cache import Look, find, look
from vision_app.ui.pictures import SAMPLES, Picture, sample
from vision_app.ui.text import amount, plain


def page() -> None:
    """Draw the page."""
    st.title("Find objects in pictures", anchor=False)
    detector, options = settings()
    pictures = chosen()
    overview = st.container(horizontal=True, vertical_alignment="center")
    answers = [(picture, card(picture, detector, options)) for picture in pictures]
    if len(answers) > 1 and any(isinstance(found, Detections) for _, found in answers):
        with overview:
            summary(answers, detector.name)


def settings() -> tuple[Detector, DetectOptions]:
    """Draw the sidebar and return what the visitor set there. Every model keeps its own settings."""
    names = models.names("detection")
    if not names:
        raise ModelError("there is no model to find objects with: the folder models/ holds none")
    with st.sidebar:
        name = st.selectbox("Model", names)
        detector = models.detector(name)
        defaults = detector.defaults
        confidence = percentage(
            "Confidence", defaults["confidence"], name, "Shows the objects that the model is at least this sure of."
        )
        overlap = percentage(
            "Overlap",
            defaults["iou"],
            name,
            "Two boxes of one class that share this much of their area (IoU) count as one object.",
        )
        classes = st.multiselect("Classes", sorted(detector.classes), placeholder="All", key=f"classes {name}")
        most = st.number_input("Most objects a picture", 1, 1000, defaults["max_detections"], key=f"most {name}")
        models.about(detector.model)
    return detector, DetectOptions(confidence, overlap, tuple(classes) or None, most)


def percentage(label: str, default: float, model: str, help: str) -> float:
    """Draw a slider from 1 % to 99 % that every model has its own setting of."""
    key = f"{label.lower()} {model}"
    return st.slider(label, 0.01, 0.99, float(default), step=0.01, format="percent", key=key, help=help)


def chosen() -> list[Picture]:
    """Draw the uploader and the samples; return the visitor's own pictures or else the samples chosen."""
    if pictures := uploads.several("Upload pictures", "vision-app detect"):
        return pictures
    if not st.session_state.get("samples"):
        gallery()
        return []
    return [sample(name) for name in st.pills("Samples", list(SAMPLES), selection_mode="multi", key="samples")]


def gallery() -> None:
    """Draw what a visitor without pictures sees."""
    st.markdown("Upload photos to see which objects are in them, and where — or start with a sample:")
    for column, name in zip(st.columns(len(SAMPLES)), SAMPLES, strict=True):
        with column.container(border=True):
            st.image(sample(name).data, width="stretch", alt=f"Sample: {name}")
            st.button(name, width="stretch", on_click=st.session_state.update, kwargs={"samples": [name]})


def card(picture: Picture, detector: Detector, options: DetectOptions) -> Detections | ImageError:
    """Draw a picture with what was found in it and return that; or draw and return why it cannot be read."""
    try:
        with st.spinner(f"Looking at {plain(picture.name)} …"):
            seen = look(picture, detector, st.session_state.setdefault("looks", OrderedDict()))
    except ImageError as error:
        st.error(plain(str(error)), icon=":material/broken_image:")
        return error
    detections, nms_ms = find(seen, detector, options)
    with st.container(border=True):
        left, right = st.columns([3, 2], gap="medium")
    with left:
        alt = f"{picture.name}: {counted(detections.count())}"
        st.image(draw(seen.view, detections), width="stretch", output_format="JPEG", alt=alt)
    with right:
        st.subheader(plain(picture.name), anchor=False)
        objects(detections, options)
        times(seen, nms_ms)
        buttons(picture, detections)
        classify.classes(picture)
    return detections


def objects(detections: Detections, options: DetectOptions) -> None:
    """Draw how many objects of each class there are and a table of all."""
    if not len(detections):
        things = "objects of the chosen classes" if options.classes else "objects"
        st.info(f"No {things} above {options.confidence:.0%} — lower the confidence.")
        return
    st.markdown(" ".join(f":primary-badge[{plain(label)} · {n}]" for label, n in detections.count().items()))
    items = detections.to_dict()["detections"]
    st.dataframe(
        {
            "Object": [item["label"] for item in items],
            "Score": [round(100 * item["score"], 2) for item in items],
            "Box": [", ".join(f"{value:.0f}" for value in item["box"]) for item in items],
        },
        hide_index=True,
        column_config={
            "Score": st.column_config.ProgressColumn(width=70, format="%.0f%%", min_value=0, max_value=100),
            "Box": st.column_config.TextColumn(help="Left, top, right and bottom in pixels of the picture."),
        },
    )


def times(seen: Look, nms_ms: float) -> None:
    """Draw how long the three steps took."""
    st.caption(f"Reading {seen.reading_ms:.0f} ms · network {seen.network_ms:.0f} ms · NMS {nms_ms:.1f} ms")


def buttons(picture: Picture, detections: Detections) -> None:
    """Draw the downloads of one picture."""
    row = downloads.row(picture, detections, detections.model)
    with st.container(horizontal=True):
        save("PNG", partial(downloads.annotated, picture, detections, ".png"), f"{picture.name}.png", "image/png")
        save("JSON", json.dumps(row, indent=2, ensure_ascii=False), f"{picture.name}.json", "application/json")
        save("CSV", downloads.table([row]), f"{picture.name}.csv", "text/csv")


def summary(answers: list[downloads.Answer], model: str) -> None:
    """Draw the sum over several pictures and their common download."""
    read = [found for _, found in answers if isinstance(found, Detections)]
    counts = Counter()
    for detections in read:
        counts.update(detections.count())
    text = f"**{amount(len(read), 'picture')}:** {plain(counted(dict(counts.most_common())))}"
    if unread := len(answers) - len(read):
        text += f" — {amount(unread, 'file')} not read"
    st.markdown(text, width="stretch")
    save("All (ZIP)", partial(downloads.archive, answers, model), "detections.zip", "application/zip")


def save(label: str, data, name: str, mime: str) -> None:
    """Draw a download button. `data` may be a function, which is called when the button is pressed."""
    st.download_button(label, data, name, mime, key=f"save {name}", on_click="ignore", icon=":material/download:")


def counted(counts: dict[str, int]) -> str:
    """Return "2 person, 1 cat"."""
    return ", ".join(f"{n} {label}" for label, n in counts.items()) or "no objects"
