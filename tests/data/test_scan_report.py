"""Reports of what is odd about a set."""

import csv

import pytest

from vision_app.core.errors import DataError
from vision_app.data.scan_report import ScanReport, read_reports, write_reports


def test_what_costs_a_set_something_is_told_from_what_does_not():
    report = ScanReport([("empty box", "a"), ("missing image", "b"), ("unlabeled image", "c"), ("wrong size", "d")])
    assert report.faults == ["missing image: b", "wrong size: d"] and len(report.problems) == 4


def test_reports_written_as_a_table_are_read_back(tmp_path):
    report = ScanReport([("empty box", 'a row of "a, b.png"'), ("wrong size", "b")])
    write_reports(tmp_path / "scan.csv", {"data": report, "val": ScanReport()})
    rows = list(csv.reader((tmp_path / "scan.csv").open(newline="")))
    assert rows == [["set", "kind", "entry"], ["data", "empty box", 'a row of "a, b.png"'], ["data", "wrong size", "b"]]
    assert read_reports(tmp_path / "scan.csv") == {"data": report} and read_reports(tmp_path / "none.csv") == {}


def test_what_is_counted_is_one_line_and_no_fault():
    report = ScanReport([("empty box", "a"), ("wrong size", "b"), ("empty box", "c")])
    for example in ("x", "y", "z"):
        report.count("box from its outline", example)
    line = "box from its outline: 3, such as x"
    assert report.problems == ["empty box: a", "wrong size: b", "empty box: c", line]
    assert report.faults == ["wrong size: b"] and report.kinds["box from its outline"] == 3
    assert list(report.lines(1)) == ["empty box: a", "empty box: 1 more", "wrong size: b", line]
    assert report.counts == ["empty box: 2, such as a", "wrong size: 1, such as b", line]
    both = report + report
    assert both.problems[-1] == "box from its outline: 6, such as x" and len(both.entries) == 6
    assert report.problems[-1] == line


def test_a_set_of_whose_rows_most_cannot_be_used_is_refused():
    report = ScanReport(rows=1)
    report.refuse("malformed row", "a")
    report.check_rows("set")
    report.refuse("malformed row", "b")
    with pytest.raises(DataError, match=r"^set: 2 of 3 rows of its annotations cannot be used \(malformed row: a\)$"):
        report.check_rows("set")


def test_names_of_thousands_of_characters_are_shortened_in_every_entry():
    report, name = ScanReport(), "x" * 5000
    report.add("empty box", f"a row of {name}")
    report.count("id of another type", name)
    report.refuse("unknown category", name)
    assert all(len(line) < 150 and "xxx...xxx" in line for line in report.problems) and len(report.problems) == 3
    report.rows = 1
    with pytest.raises(DataError) as error:
        report.check_rows("a.json")
    assert len(str(error.value)) < 250
