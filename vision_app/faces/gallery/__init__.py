"""People whose faces are known: enrolled, recognized, forgotten.

One SQLite file is the source of truth; all else is derived.
"""

from vision_app.faces.gallery.gallery import Gallery
from vision_app.faces.gallery.results import (
    Candidate,
    EnrolledPhoto,
    Enrollment,
    Forgotten,
    Identities,
    Identity,
    Person,
)

__all__ = ["Candidate", "EnrolledPhoto", "Enrollment", "Forgotten", "Gallery", "Identities", "Identity", "Person"]
