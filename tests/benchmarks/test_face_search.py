"""Searching a gallery of made-up people: what is printed is what an exact search finds."""

import face_search


def test_search_finds_who_an_exact_search_finds_and_counts_what_it_costs(tmp_path, monkeypatch):
    monkeypatch.setattr(face_search, "SINGLE", 5)
    row = dict(zip(face_search.COLUMNS, face_search.measure(tmp_path / "people.db", 400, 50, even=False), strict=True))
    assert (row["people"], row["index"], row["identity recall"]) == ("400", "exact", "1.0000")
    assert float(row["rank-1"]) > 0.9 and float(row["one ms"]) > 0
    assert all(float(row[name]) > 0 for name in ("enroll/s", "delete/s", "peak MB"))
