"""Who gets which name: the rules, without a gallery."""

from vision_app.faces.gallery.identify import assign
from vision_app.faces.gallery.results import Candidate


def test_a_name_is_given_from_the_threshold_on():
    ada, bob = Candidate(1, "Ada", 0.5), Candidate(2, "Bob", 0.499)
    assert assign([[ada], [bob]], 0.5) == [ada, None]
