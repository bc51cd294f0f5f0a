"""Names of classes under which different sets and models mean the same."""

import pytest

from vision_app.data.names import alike, in_case_of


@pytest.mark.parametrize(
    ("names", "known", "expected"),
    [
        (["Dog", "cat"], ["dog", "cat"], ("dog", "cat")),
        (["DOG"], ["Dog"], ("Dog",)),
        (["Sofa", "sofa"], ["couch"], ("Sofa", "sofa")),
        (["Sofa"], ["couch", "dog"], ("couch",)),
        (["sofa", "elk"], ["couch"], ("sofa", "elk")),  # which are understood as they are, or not at all
        (["Dog", "dog"], ["dog"], ("Dog", "dog")),  # two classes of the set
        (["Dog"], ["Dog", "dog"], ("Dog",)),
        ([], ["dog"], ()),
    ],
)
def test_names_that_differ_in_case_alone(names, known, expected):
    assert in_case_of(names, iter(known)) == expected


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["Dog", "cat", "dog", "DOG"], [("Dog", "dog"), ("Dog", "DOG")]),
        (["a", "B", "A", "b"], [("a", "A"), ("B", "b")]),
        (["Stra\N{LATIN SMALL LETTER SHARP S}e", "STRASSE"], [("Stra\N{LATIN SMALL LETTER SHARP S}e", "STRASSE")]),
        (["dog", "cat", "dogs"], []),
        ([], []),
    ],
)
def test_names_of_one_list_that_differ_in_case_alone_are_found(names, pairs):
    assert list(alike(names)) == pairs
