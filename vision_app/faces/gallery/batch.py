"""What `vision-app faces identify` does with each image of a batch; see `vision_app.batch.run.Task`."""

from vision_app.faces.batch import FacesTask
from vision_app.faces.gallery.gallery import Gallery


class IdentifyTask(FacesTask):
    """Identifies the people in each image; rows have the keys of `Identities.to_dict`.

    Args:
        gallery: Who is known.
        fpir: See `Gallery.identify`.
        repeats: See `Gallery.identify`.
    """

    def __init__(self, gallery: Gallery, *, fpir: float, repeats: bool, max_pixels: int):
        recognizer = gallery.recognizer
        super().__init__(
            lambda image: gallery.identify(image, fpir=fpir, repeats=repeats),
            model=recognizer.detector.name,
            device=recognizer.detector.device,
            max_pixels=max_pixels,
        )
        self._nothing = {"width": None, "height": None, "contract": recognizer.model_id, "faces": []}
