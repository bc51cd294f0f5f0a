"""Reports of what is odd about a set."""

import csv

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
