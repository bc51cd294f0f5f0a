"""Names of classes under which different sets and models mean the same."""

import pytest

from vision_app.data.names import in_case_of


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
