"""What a card of the Detect page says of a whole picture, with the released classifier."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from vision_app import Classifier, draw
from vision_app.released.find import available
from vision_app.ui import classify, models
from vision_app.ui.pictures import sample

APP = Path(__file__).parents[2] / "streamlit_app.py"


@pytest.fixture
def page() -> AppTest:
    """The page with a cat on it."""
    page = AppTest.from_file(APP, default_timeout=60).run()
    page.button[0].click().run()
    assert not page.exception
    return page


def switch(page: AppTest):
    return next(item for item in page.toggle if item.label == "What is in the picture")


def test_the_network_waits_for_the_switch_and_gives_the_answer_of_the_python_door(page, monkeypatch):
    calls, forward = [], Classifier.forward
    monkeypatch.setattr(Classifier, "forward", lambda self, *inputs: calls.append(1) or forward(self, *inputs))
    page.run()
    assert len(page.dataframe) == 1 and not calls
    switch(page).set_value(True).run()
    found = Classifier.load()(sample("Cat").data)
    calls.clear()
    expected = [(one["label"], pytest.approx(100 * one["probability"])) for one in found.to_dict(top=5)["classes"]]
    assert expected[0][0] == "cat"
    assert list(page.dataframe[1].value.itertuples(index=False, name=None)) == expected
    box = next(item for item in page.checkbox if item.label == "Show the best object, cat")
    drawn = []
    monkeypatch.setattr(classify, "draw", lambda view, best: drawn.append(best.to_dict()) or draw(view, best))
    box.set_value(True).run()
    assert not page.exception and drawn == [found.best.to_dict()]
    assert not calls  # the look is kept
    switch(page).set_value(False).run()
    assert len(page.dataframe) == 1


def test_nothing_probable_has_no_box_to_show(page, monkeypatch):
    unsure = Classifier.load()
    unsure.confidence = 1.1
    monkeypatch.setattr(models, "classifier", lambda name: unsure)
    switch(page).set_value(True).run()
    assert not page.exception and not page.checkbox
    assert any("No class is more probable than" in item.value for item in page.caption)


def test_without_a_classifier_there_is_no_switch(monkeypatch):
    assert classify.MODEL in available()
    monkeypatch.setattr(classify, "MODEL", "none")
    page = AppTest.from_file(APP, default_timeout=60).run()
    page.button[0].click().run()
    assert not page.exception and not page.toggle
