"""The classification of a whole image on the Detect page, with the released classifier."""

import pytest
from app_pages import run, visit_app
from streamlit.testing.v1 import AppTest

from vision_app import Classifier, draw
from vision_app.released.find import available
from vision_app.ui import models
from vision_app.ui.images import sample
from vision_app.ui.widgets import classification

pytestmark = pytest.mark.slow


@pytest.fixture
def page() -> AppTest:
    """The page with a cat on it."""
    page = visit_app()
    page.button[0].click()
    return run(page)


def switch(page: AppTest):
    return next(item for item in page.toggle if item.label == "Classify the whole image")


def test_the_network_runs_only_after_the_switch_and_answers_as_the_python_door(page, monkeypatch):
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
    box = next(item for item in page.checkbox if item.label == "Show the most likely object (cat)")
    drawn = []
    monkeypatch.setattr(classification, "draw", lambda view, best: drawn.append(best.to_dict()) or draw(view, best))
    box.set_value(True).run()
    assert not page.exception and drawn == [found.best.to_dict()]
    assert not calls  # the output is kept
    switch(page).set_value(False).run()
    assert len(page.dataframe) == 1


def test_an_improbable_object_is_not_shown(page, monkeypatch):
    unsure = Classifier.load()
    unsure.confidence = 1.1
    monkeypatch.setattr(models, "classifier", lambda name: unsure)
    switch(page).set_value(True).run()
    assert not page.exception and not page.checkbox
    assert any("No class reaches a probability of" in item.value for item in page.caption)


def test_without_a_classifier_there_is_no_switch(monkeypatch):
    assert classification.CLASSIFIER in available()
    monkeypatch.setattr(classification, "CLASSIFIER", "none")
    page = visit_app()
    page.button[0].click()
    assert not run(page).toggle
