"""Another model's embeddings for all that a gallery holds, from the crops that it keeps."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from vision_app.errors import GalleryError
from vision_app.faces.gallery.enroll import chip_of
from vision_app.faces.gallery.results import Person, Sample

if TYPE_CHECKING:
    from vision_app.faces.gallery.gallery import Gallery


def reembed(gallery: "Gallery", report: Callable[[Person], None]) -> int:
    """Embeds every photo anew, in one transaction; see `Gallery.reembed`."""
    store, embedder = gallery.store, gallery.recognizer.embedder
    if store.contracts in ([], [embedder.contract]):
        return 0
    people = store.people()
    with store.change():
        for person in people:
            samples = store.samples(person.id)
            chips = [_chip(sample, person, embedder.template) for sample in samples]
            for sample, embedding in zip(samples, embedder.embed(np.stack(chips)), strict=True):
                store.replace_embedding(sample.id, embedding, embedder.contract)
            store.update_centroid(person.id)
            report(person)
        store.drop_models()
        gallery.audit.write("reembed", (person.id for person in people))
    gallery.index.discard()
    return sum(person.photos for person in people)


def _chip(sample: Sample, person: Person, template: np.ndarray) -> np.ndarray:
    if sample.crop is None:
        raise GalleryError(
            f"{person.name}: no picture is kept of a photo, so no other model can embed it; nothing has changed. "
            "Forget and enroll this person again"
        )
    crop = np.asarray(Image.open(io.BytesIO(sample.crop), formats=["PNG"]).convert("RGB"))
    return chip_of(crop, np.array(sample.landmarks, np.float32), template)
