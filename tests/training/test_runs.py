"""Folders of runs: which may be written."""

import pytest
from tiny_task import files, run

from vision_app.core.errors import UsageError
from vision_app.training.runs import check_run_folder


def test_a_folder_with_a_run_is_refused_unless_it_is_to_be_resumed(tmp_path):
    run(tmp_path)
    before = files(tmp_path)
    with pytest.raises(UsageError, match=r"--output .* contains a run already; --resume continues it"):
        check_run_folder(tmp_path, resume=False)
    check_run_folder(tmp_path, resume=True)
    assert files(tmp_path) == before


@pytest.mark.parametrize(("words", "mark"), [({}, "config.json"), ({"mark": "scan.csv"}, "scan.csv")])
def test_a_folder_with_files_of_another_kind_is_refused(tmp_path, words, mark):
    (tmp_path / "thesis.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(UsageError, match=r"is not empty \(contains thesis.txt\); choose a new folder"):
            check_run_folder(tmp_path, resume, **words)
    (tmp_path / mark).touch()
    check_run_folder(tmp_path, False, **words)


def test_a_new_folder_is_checked_and_not_made(tmp_path):
    check_run_folder(tmp_path / "new" / "run", False, mark="scan.csv")
    assert not any(tmp_path.iterdir())
