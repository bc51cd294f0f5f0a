"""Who gets which name: the rules, without a gallery."""

from vision_app.faces.gallery.matching import assign
from vision_app.faces.gallery.results import Candidate

GAINS = {1: 0.0, 3: 0.05}


def test_a_name_is_given_from_the_threshold_on():
    ada, bob = Candidate(1, "Ada", 1, 0.5), Candidate(2, "Bob", 1, 0.499)
    assert assign([[ada], [bob]], 0.5, GAINS.get) == [ada, None]


def test_a_person_with_several_photos_must_be_nearer():
    ada, bob = Candidate(1, "Ada", 3, 0.54), Candidate(2, "Bob", 1, 0.51)
    assert assign([[ada]], 0.5, GAINS.get) == [None]
    assert assign([[ada, bob]], 0.4, GAINS.get) == [bob], "by what both would be with a photo each"
