"""People whose faces are known: enrolled, recognized, forgotten. One SQLite file is the truth, all else is derived."""

from vision_app.faces.gallery.gallery import Gallery
from vision_app.faces.gallery.results import Candidate, Enrollment, Forgotten, Identities, Identity, Person, Sample

__all__ = ["Candidate", "Enrollment", "Forgotten", "Gallery", "Identities", "Identity", "Person", "Sample"]
