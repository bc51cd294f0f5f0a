"""The Detect page: images in, boxes out, and sliders that respond at once."""

from collections import Counter
from functools import partial

import streamlit as st

from vision_app import Detections, DetectOptions, Detector, draw
from vision_app.core.errors import ImageError, ModelError
from vision_app.core.text import amount, amounts, escape
from vision_app.released.find import Model
from vision_app.ui import downloads, models
from vision_app.ui.images import ImageFile, detect, infer, screen_image
from vision_app.ui.widgets.classification import classification
from vision_app.ui.widgets.inputs import percentage, uploads_or_samples
from vision_app.ui.widgets.outputs import save, save_json, show_error, show_image

CONFIDENCE_HELP = "Shows detections with at least this confidence."
IOU_HELP = "If two boxes of one class overlap by more than this, only the one with the higher score is kept."


def page() -> None:
    """Draw the page."""
    st.title("Detect objects", anchor=False)
    detector, options = settings()
    images = uploads_or_samples("vision-app detect")
    overview = st.container(horizontal=True, vertical_alignment="center")
    answers = [(image, card(image, detector, options)) for image in images]
    if len(answers) > 1 and any(isinstance(answer, Detections) for _, answer in answers):
        with overview:
            summary(answers, detector.name)


def settings() -> tuple[Detector, DetectOptions]:
    """Draw the sidebar and return the detector and its options. Every model keeps its own settings."""
    found = models.detectors()
    if not found:
        raise ModelError("no detector is installed: the folder models/ contains none")
    with st.sidebar:
        name = st.selectbox("Model", list(found))
        detector = models.detector(name)
        defaults = detector.defaults
        confidence = percentage("Confidence", defaults["confidence"], name, CONFIDENCE_HELP)
        iou = percentage("Overlap (IoU)", defaults["iou"], name, IOU_HELP)
        classes = st.multiselect("Classes", sorted(detector.classes), placeholder="All", key=f"classes {name}")
        limit = st.number_input("Max. objects per image", 1, 1000, defaults["max_detections"], key=f"limit {name}")
        about(found[name])
    return detector, DetectOptions(confidence, iou, tuple(classes) or None, limit)


def about(model: Model) -> None:
    """Draw what `model.json` says: measured accuracy, defaults, training data and license."""
    info = model.info
    facts = {
        "Classes": str(len(model.classes)),
        "Default confidence": f"{model.defaults['confidence']:.0%}",
        **{
            f"Accuracy on {name}": ", ".join(f"{metric} {value:.3f}" for metric, value in measured.items())
            for name, measured in info.get("measured", {}).items()
        },
        "Parameters": f"{info['parameters'] / 1e6:.2f} million" if "parameters" in info else "",
        "Trained on": "; ".join(info.get("learned_from", [])),
        "License": info.get("license", ""),
    }
    with st.expander(f"About {escape(model.name)}", icon=":material/info:"):
        for name, text in facts.items():
            if text:
                st.caption(f"**{escape(name)}**  \n{escape(text)}")


def card(image: ImageFile, detector: Detector, options: DetectOptions) -> Detections | ImageError:
    """Draw an image with its detections and return them; or draw and return why it cannot be read."""
    try:
        with st.spinner(f"Detecting objects in {escape(image.name)} …"):
            inference, screen = infer(image, detector), screen_image(image)
    except ImageError as error:
        show_error(error)
        return error
    detections, nms_ms = detect(inference, detector, options)
    with st.container(border=True):
        left, right = st.columns([3, 2], gap="medium")
    with left:
        show_image(draw(screen, detections), f"{image.name}: {amounts(detections.count())}")
    with right:
        st.subheader(escape(image.name), anchor=False)
        objects(detections, options)
        decoding_ms, network_ms = inference.decoding_ms, sum(inference.stages.values())
        st.caption(f"Decoding {decoding_ms:.0f} ms · network {network_ms:.0f} ms · NMS {nms_ms:.1f} ms")
        row = downloads.row(image, detections, detections.model)
        with st.container(horizontal=True):
            save("PNG", partial(downloads.annotated, image, detections, ".png"), f"{image.name}.png", "image/png")
            save_json(row)
            save("CSV", downloads.table([row]), f"{image.name}.csv", "text/csv")
        classification(image)
    return detections


def objects(detections: Detections, options: DetectOptions) -> None:
    """Draw how many objects of each class there are and a table of all."""
    if not len(detections):
        things = "objects of the chosen classes" if options.classes else "objects"
        st.info(f"No {things} found at a confidence of {options.confidence:.0%}. Try a lower confidence.")
        return
    st.markdown(" ".join(f":primary-badge[{escape(amount(n, label))}]" for label, n in detections.count().items()))
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
            "Box": st.column_config.TextColumn(help="Left, top, right and bottom edge in pixels of the image."),
        },
    )


def summary(answers: list[downloads.Answer], model: str) -> None:
    """Draw the totals over several images and their common download."""
    read = [answer for _, answer in answers if isinstance(answer, Detections)]
    counts: Counter[str] = Counter()
    for detections in read:
        counts.update(detections.count())
    text = f"**{amount(len(read), 'image')}:** {escape(amounts(dict(counts.most_common())))}"
    if unread := len(answers) - len(read):
        text += f" ({amount(unread, 'file')} could not be read)"
    st.markdown(text, width="stretch")
    save("Download all (ZIP)", partial(downloads.archive, answers, model), "detections.zip", "application/zip")
