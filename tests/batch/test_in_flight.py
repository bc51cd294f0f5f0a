"""The file that names the inputs at which a run was killed."""

from vision_app.batch import in_flight
from vision_app.batch.in_flight import Begun, InFlight
from vision_app.batch.journal import Journal
from vision_app.batch.sources import Input

INPUTS = [Input(f"ä{number}\udcff.jpg", "") for number in range(9)]


def open_journal(path, inputs=INPUTS, *, resume=True, overwrite=False):
    return Journal(path, settings={}, inputs=inputs, batch_size=2, resume=resume, overwrite=overwrite)


def row(place):
    return {"file": INPUTS[place].file, "status": "ok"}


def test_what_was_begun_is_there_after_a_kill_and_gone_after_an_end(tmp_path):
    path = tmp_path / "rows.jsonl"
    with open_journal(path) as journal:
        journal.begin(0, INPUTS[:2])
        journal.write([row(0), row(1)])
        journal.begin(2, INPUTS[2:4])
        journal.begin(4, INPUTS[4:6])
        killed = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert not (tmp_path / "rows.inflight").exists()
    for name, content in killed.items():
        (tmp_path / name).write_bytes(content)
    with (tmp_path / "rows.inflight").open("ab") as stream:
        stream.write(b'{"place": 6, "fi')  # torn
    with open_journal(path) as journal:
        assert journal.suspects == [2, 3, 4, 5], "those without a row"
    with open_journal(path) as journal:
        assert journal.suspects == [2, 3, 4, 5], "an orderly end does not clear them of suspicion"
        journal.suspects = []
        journal.known = {4: row(4)}
        journal.write([row(2), row(3)])
    with open_journal(path) as journal:
        assert journal.suspects == [4], "what was found out was not written"
        journal.suspects = []
    assert not (tmp_path / "rows.inflight").exists()


def test_other_inputs_and_other_runs_have_no_suspects(tmp_path):
    path = tmp_path / "rows.jsonl"
    for again in ({"inputs": [Input("other.jpg", "")] * 9}, {"inputs": []}, {"overwrite": True, "resume": False}):
        InFlight(tmp_path / "rows.inflight", 0o600).begin(2, INPUTS[2:4], 0)
        with open_journal(path, **again) as journal:
            assert journal.suspects == []
        assert not (tmp_path / "rows.inflight").exists()


def test_the_file_stays_small(tmp_path, monkeypatch):
    monkeypatch.setattr(in_flight, "_MAX_BYTES", 500)
    begun = InFlight(tmp_path / "rows.inflight", 0o600)
    for place in range(1000):
        begun.begin(place, [INPUTS[0]], rows=place - 2)
        assert {place, max(place - 1, 0), max(place - 2, 0)} <= begun.read().keys()
        assert begun.path.stat().st_size <= 600
    assert begun.path.stat().st_mode & 0o777 == 0o600
    assert begun.read()[999] == Begun(INPUTS[0].file)


def test_rows_found_alone_are_kept_for_a_run_with_the_same_settings_only(tmp_path):
    path = tmp_path / "rows.jsonl"
    for settings, known, alone in (({}, {2: row(2)}, 2), ({"--size": 9}, {}, None)):
        with Journal(path, settings={}, inputs=INPUTS, batch_size=2, resume=False, overwrite=True) as journal:
            journal.begin(2, INPUTS[2:4])
            journal.in_flight.note(2, INPUTS[2].file, alone=1)
            journal.in_flight.note(3, INPUTS[3].file, alone=2)
            journal.in_flight.note(2, INPUTS[2].file, row=row(2))
            journal.suspects = [2, 3]
        with Journal(path, settings=settings, inputs=INPUTS, batch_size=2, resume=True) as journal:
            assert (journal.known, journal.suspects) == (known, [place for place in (2, 3) if place not in known])
            assert journal.in_flight.read()[3] == Begun(INPUTS[3].file, alone)
