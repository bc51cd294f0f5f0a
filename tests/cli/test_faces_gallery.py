"""`vision-app faces` with a gallery, as users run it: enroll, identify, verify, forget and the others."""

import json
import os
from pathlib import Path

import pytest
from painted_people import BLURRED, CALIBRATION, painted_recognizer, photo, run_sql

from vision_app import Gallery
from vision_app.cli import main
from vision_app.faces.recognizer import FaceRecognizer

pytestmark = pytest.mark.slow

ADA, BOB, EVE = 1, 2, 3


@pytest.fixture(autouse=True)
def painted(monkeypatch):
    """Faces are painted; a model's name is its contract."""
    monkeypatch.setattr(FaceRecognizer, "load", lambda model="first", **where: painted_recognizer(model))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photos to identify, and a folder of people to enroll."""
    folder = tmp_path_factory.mktemp("photos")
    photo(folder / "group" / "1.png", (ADA, 7), (EVE, 7))
    photo(folder / "group" / "2.png", (BOB, 7), (ADA, 8))
    photo(folder / "group" / "3.png")
    photo(folder / "group" / "4.png", (ADA, 9), (BOB, 9), (ADA, 10))
    (folder / "group" / "5.png").write_bytes(b"no image")
    for name, person, number in (("Ada", ADA, 1), ("Ada", ADA, 2), ("Bob", BOB, 1), ("Bob", BOB, BLURRED)):
        photo(folder / "people" / name / f"{number}.png", (person, number))
    photo(folder / "eve.png", (EVE, 1))
    return folder


@pytest.fixture
def db(photos, tmp_path, capsys):
    """A gallery of Ada and Bob."""
    assert faces("enroll", "--folder", photos / "people", "--gallery", tmp_path / "people.db") == 1
    capsys.readouterr()
    return tmp_path / "people.db"


def faces(*words):
    if words[0] in ("enroll", "identify", "group", "merge", "reembed", "verify") and "--model" not in words:
        words = (*words, "--model", "first")
    return main(["faces", *map(str, words)])


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_enrollment_says_what_became_of_each_photo(photos, tmp_path, capsys):
    db = tmp_path / "people.db"
    assert faces("enroll", "--folder", photos / "people", "--gallery", db, "--consent", "by mail") == 1
    people = photos / "people"
    assert capsys.readouterr().out.splitlines() == [
        f"{people}/Ada/1.png: accepted as Ada",
        f"{people}/Ada/2.png: accepted as Ada",
        f"{people}/Bob/0.png: blurred: the face is blurred",
        f"{people}/Bob/1.png: accepted as Bob",
        "4 photos: 3 accepted, 1 blurred",
    ]
    assert faces("enroll", "Eve", photos / "eve.png", people / "Ada", "--gallery", db) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{photos}/eve.png: accepted as Eve"
    assert lines[1] == f"{people}/Ada/1.png: someone_else: enrolled already as Ada"
    assert faces("enroll", "Eve", photos / "eve.png", "--gallery", db) == 0
    assert "already_enrolled" in capsys.readouterr().out
    assert faces("list", "--gallery", db) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in listed] == [
        ["Ada", "2", "photos"],
        ["Bob", "1", "photo"],
        ["Eve", "1", "photo"],
    ]
    assert faces("show", "Ada", "--gallery", db) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 2 and all(line.endswith("model first, consent: by mail") for line in shown)


def test_enroll_refuses_another_face_under_a_known_name_photo_by_photo(photos, db, tmp_path, capsys):
    mixed = tmp_path / "mixed"
    for name, person in (("Ada", EVE), ("Bob", BOB), ("Eve", EVE)):
        photo(mixed / name / "5.png", (person, 5))
    assert faces("enroll", "--folder", mixed, "--gallery", db) == 1
    different, *others = capsys.readouterr().out.splitlines()
    assert different.startswith(f"{mixed}/Ada/5.png: different_person: does not look like Ada (simil")
    assert others == [
        f"{mixed}/Bob/5.png: accepted as Bob",
        f"{mixed}/Eve/5.png: accepted as Eve",
        "3 photos: 2 accepted, 1 different_person",
    ]
    assert faces("enroll", "Ada", photos / "eve.png", "--gallery", db, "--allow-different", "--allow-similar") == 0
    assert capsys.readouterr().out.startswith(f"{photos}/eve.png: accepted as Ada\n")


@pytest.mark.parametrize(("terminal", "reply", "code"), [(True, "y", 0), (True, "", 1), (False, None, 1)])
def test_enroll_asks_in_a_terminal_before_it_adds_another_face_to_a_person(
    photos, db, capsys, monkeypatch, terminal, reply, code
):
    asked = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: terminal, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or reply)
    assert faces("enroll", "Bob", photos / "eve.png", "--gallery", db) == code
    printed = capsys.readouterr()
    assert asked == ["Enroll it as Bob all the same? [y/N] "] * terminal
    assert printed.err.startswith(f"warning: {photos}/eve.png does not look like Bob (") == terminal
    outcome = "accepted as Bob" if code == 0 else "different_person: does not look like Bob ("
    assert printed.out.startswith(f"{photos}/eve.png: {outcome}")


def test_folders_besides_one_with_an_invalid_name_are_enrolled(tmp_path, capsys):
    for name, person in (("A\tda", ADA), ("Bob", BOB)):
        photo(tmp_path / "people" / name / "1.png", (person, 1))
    assert faces("enroll", "--folder", tmp_path / "people", "--gallery", tmp_path / "people.db") == 1
    first, second, last = capsys.readouterr().out.splitlines()
    assert "1.png: bad_name: name 'A\\tda': must be 1 to 200 characters that can be printed" in first
    assert second.endswith("1.png: accepted as Bob") and last == "2 photos: 1 bad_name, 1 accepted"


@pytest.mark.parametrize("words", [[], ["Ada"], ["Ada", "a.png", "--folder", "."]])
def test_wrong_words_of_enroll_are_refused_and_make_no_gallery(words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert faces("enroll", *words, "--gallery", "people.db") == 2
    assert "give NAME and at least one PHOTO, or --folder PEOPLE/ alone" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_identify_writes_a_row_a_file(photos, db, tmp_path, capsys):
    out = tmp_path / "out"
    assert faces("identify", photos / "group", "--gallery", db, "--output", out) == 1
    assert f"2 people, named from similarity {CALIBRATION.identify_threshold(2):.3f}" in capsys.readouterr().out
    rows = rows_of(out / "identities.jsonl")
    assert [Path(row["file"]).name for row in rows] == [f"{number}.png" for number in range(1, 6)]
    assert all(list(row) == ["file", "status", "error", "width", "height", "contract", "faces"] for row in rows)
    found = [[face["name"] for face in row["faces"]] for row in rows]
    assert found[:3] == [["Ada", None], ["Bob", "Ada"], []] and sorted(found[3], key=str) == ["Ada", "Bob", None]
    assert rows[4]["status"] == "failed" and rows[4]["faces"] == []
    with Gallery.open(db, readonly=True, recognizer=painted_recognizer()) as gallery:
        answer = gallery.identify(rows[0]["file"]).to_dict()
    assert rows[0] == {"file": rows[0]["file"], "status": "ok", "error": None, **answer}

    assert faces("identify", photos / "group", "--gallery", db, "--output", tmp_path / "again", "--workers", 1) == 1
    assert (tmp_path / "again" / "identities.jsonl").read_bytes() == (out / "identities.jsonl").read_bytes()
    assert faces("identify", photos / "group/4.png", "--gallery", db, "--output", tmp_path / "all", "--repeats") == 0
    assert [face["name"] for face in rows_of(tmp_path / "all" / "identities.jsonl")[0]["faces"]] == [
        "Ada",
        "Bob",
        "Ada",
    ]


def test_identify_resumes_with_the_same_people_only(photos, db, tmp_path, capsys):
    out = tmp_path / "out" / "identities.jsonl"
    words = ["identify", photos / "group", "--gallery", db, "--output", out.parent]
    assert faces(*words) == 1
    whole = out.read_bytes()
    out.write_bytes(whole[: len(whole) // 2])
    assert faces(*words, "--resume") == 1
    assert out.read_bytes() == whole
    assert faces("rename", "Bob", "Robert", "--gallery", db) == 0
    assert faces(*words, "--resume") == 2
    assert "--gallery was " in capsys.readouterr().err


def test_names_and_embeddings_are_for_their_owner_alone(photos, db, tmp_path):
    before = os.umask(0o022)
    try:
        assert faces("identify", photos / "group", "--gallery", db, "--output", tmp_path / "named") == 1
        assert faces("group", photos / "group", "--output", tmp_path / "groups") == 1
        assert faces("embed", photos / "group", "--output", tmp_path / "faces.npz", "--model", "first") == 1
    finally:
        os.umask(before)
    private = ["named/identities.jsonl", "groups/faces.jsonl", "groups/groups.json", "faces.npz", "faces.jsonl"]
    assert {name: (tmp_path / name).stat().st_mode & 0o777 for name in private} == dict.fromkeys(private, 0o600)


def test_an_empty_gallery_names_no_one(photos, tmp_path):
    with Gallery.open(tmp_path / "empty.db"):
        pass
    assert faces("identify", photos / "eve.png", "--gallery", tmp_path / "empty.db", "--output", tmp_path / "out") == 0
    (face,) = rows_of(tmp_path / "out" / "identities.jsonl")[0]["faces"]
    assert (face["name"], face["similarity"], face["candidates"]) == (None, None, [])


def test_a_person_is_verified_by_name(photos, db, capsys):
    for file, name, code, verdict in (
        ("group/3.png", "Ada", 2, None),
        ("people/Ada/1.png", "Ada", 0, "same"),
        ("eve.png", "Ada", 1, "different"),
    ):
        assert faces("verify", photos / file, "--person", name, "--gallery", db, "--json") == code
        printed = capsys.readouterr()
        if verdict is None:
            assert "no face found" in printed.err
        else:
            row = json.loads(printed.out)
            assert (row["verdict"], row["person"], row["contract"]) == (verdict, name, "first")
    assert faces("verify", photos / "eve.png", "--person", "Bob", "--gallery", db) == 1
    assert "best photo of Bob: face at " in capsys.readouterr().out
    for words in ([], ["--person", "Ada"], [photos / "eve.png", "--person", "Ada", "--gallery", db], ["--gallery", db]):
        assert faces("verify", photos / "eve.png", *words) == 2
        assert "give another image B, or --person NAME with --gallery FILE.db" in capsys.readouterr().err


@pytest.mark.parametrize("damaged", ["people.db", "people.db.audit.jsonl"])
def test_a_gallery_that_cannot_be_used_is_no_verdict(damaged, photos, db, capsys):
    broken = db.with_name(damaged)
    broken.unlink(missing_ok=True)
    broken.write_bytes(b"junk" * 2000) if damaged == db.name else broken.mkdir()
    assert faces("verify", photos / "eve.png", "--person", "Ada", "--gallery", db) == 2
    printed = capsys.readouterr()
    assert damaged in printed.err and printed.out == ""


def test_forget_asks_first(photos, db, capsys, monkeypatch):
    for answer in ("n", "", None):
        monkeypatch.setattr("builtins.input", ask(answer))
        assert faces("forget", "Ada", "--gallery", db) == 1
        assert "nothing was deleted" in capsys.readouterr().err
    monkeypatch.setattr("builtins.input", ask("y"))
    assert faces("forget", "Ada", "--gallery", db) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("deleted: Ada; none of ") and "people.db" in printed
    assert "deleted, but not searched for (too short, or shared with other people): Ada" in printed
    monkeypatch.setattr("builtins.input", None)
    assert faces("forget", "Bob", "--gallery", db, "--yes") == 0
    capsys.readouterr()
    assert faces("list", "--gallery", db) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "no one is enrolled\n")
    assert faces("forget", "Bob", "--gallery", db, "--yes") == 2
    assert "nobody named 'Bob' is enrolled" in capsys.readouterr().err


def ask(answer, asked="Delete Ada and 2 photos permanently? [y/N] "):
    def answering(question):
        assert question == asked
        if answer is None:
            raise EOFError
        return answer

    return answering


def test_merge_warns_and_asks_before_it_joins_different_people(photos, db, capsys, monkeypatch):
    question = "Merge Ada into Bob all the same? [y/N] "
    with Gallery.open(db, readonly=True, recognizer=painted_recognizer()) as gallery:
        similarity = gallery.compare("Ada", "Bob").similarity
    for answer in ("n", "", None):  # None: nobody to ask
        monkeypatch.setattr("builtins.input", ask(answer, question))
        assert faces("merge", "Ada", "Bob", "--gallery", db) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert f"warning: Ada does not look like Bob (similarity {similarity:.3f}; " in printed.err
        assert "nothing was merged; --yes merges without asking" in printed.err
    assert faces("list", "--gallery", db) == 0 and "Ada" in capsys.readouterr().out
    monkeypatch.setattr("builtins.input", ask("y", question))
    assert faces("merge", "Ada", "Bob", "--gallery", db) == 0
    assert capsys.readouterr().out == "Ada is now Bob\n"


def test_merge_asks_nothing_of_one_person_or_with_yes(photos, db, capsys, monkeypatch):
    monkeypatch.setattr("builtins.input", None)
    photo(photos / "more.png", (ADA, 5))
    assert faces("enroll", "Ada L.", photos / "more.png", "--gallery", db, "--allow-similar") == 0
    assert faces("merge", "Ada L.", "Ada", "--gallery", db) == 0
    assert faces("merge", "Ada", "Bob", "--gallery", db, "--yes") == 0
    assert capsys.readouterr().err == ""


def test_merge_asks_where_people_cannot_be_compared(db, capsys, monkeypatch):
    monkeypatch.setattr("builtins.input", ask("n", "Merge Ada into Bob all the same? [y/N] "))
    assert faces("merge", "Ada", "Bob", "--gallery", db, "--model", "second") == 1
    assert "warning: Ada cannot be compared with Bob (" in capsys.readouterr().err
    run_sql(db, "DELETE FROM centroid WHERE person = (SELECT id FROM person WHERE name = 'Bob')")
    assert faces("merge", "Ada", "Bob", "--gallery", db) == 1
    assert "Bob has no photo" in capsys.readouterr().err


def test_people_move_to_another_gallery_and_to_another_model(photos, db, tmp_path, capsys):
    other = tmp_path / "other.db"
    assert faces("export", tmp_path / "some.jsonl", "--gallery", db, *["--person", "Ada"] * 2) == 0
    assert capsys.readouterr().out == f"{tmp_path}/some.jsonl: 2 photos\n"
    assert faces("import", tmp_path / "some.jsonl", "--gallery", other) == 0
    assert capsys.readouterr().out == "2 photos: 2 accepted\n"
    assert faces("merge", "Ada", "Bob", "--gallery", db, "--yes") == 0
    assert faces("import", tmp_path / "some.jsonl", "--gallery", db) == 1
    assert "someone_else: enrolled already as Bob" in capsys.readouterr().out
    for flags, code, outcome in (
        ([], 1, "different_person: does not look like"),
        (["--allow-different"], 0, "accepted"),
    ):
        assert faces("enroll", "Ada", photos / "eve.png", "--gallery", tmp_path / f"{code}.db") == 0
        capsys.readouterr()
        assert faces("import", tmp_path / "some.jsonl", "--gallery", tmp_path / f"{code}.db", *flags) == code
        assert outcome in capsys.readouterr().out

    words = ["identify", photos / "group", "--gallery", other, "--output", tmp_path / "out", "--model", "second"]
    assert faces(*words) == 2
    assert f"`vision-app faces reembed --gallery {other}` rebuilds them" in capsys.readouterr().err
    assert faces("reembed", "--gallery", other, "--model", "second") == 0
    assert "2 photos embedded again, model second" in capsys.readouterr().out
    assert faces(*words) == 1
    assert rows_of(tmp_path / "out" / "identities.jsonl")[0]["faces"][0]["name"] == "Ada"


def test_a_file_that_is_still_empty_lists_no_one_as_an_empty_gallery_does(tmp_path, capsys):
    (tmp_path / "people.db").touch()
    for verb, code, words in (("list", 0, "no one is enrolled"), ("show Ada", 1, "empty, nobody is enrolled yet")):
        assert faces(*verb.split(), "--gallery", tmp_path / "people.db") == code
        assert words in capsys.readouterr().err
    (tmp_path / "people.db").write_text("no gallery")
    assert faces("list", "--gallery", tmp_path / "people.db") == 1


def test_a_name_may_be_given_again_to_whom_it_belongs_only(db, capsys):
    assert faces("rename", "Ada", "Ada", "--gallery", db) == 0
    assert faces("rename", "Ada", "Bob", "--gallery", db) == 2
    assert "another person has it already" in capsys.readouterr().err


def test_check_says_whether_all_is_well(db, capsys):
    assert faces("check", "--gallery", db) == 0
    assert capsys.readouterr().out == f"{db}: 2 people, 3 photos, no problems found\n"
    db.chmod(0o640)
    assert faces("check", "--gallery", db) == 1
    assert "others may read it; `chmod 600`" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["list", "show Ada", "rename Ada Bob", "merge Ada Bob", "forget Ada --yes", "check"])
def test_a_missing_gallery_is_named_and_not_made(verb, tmp_path, capsys):
    assert faces(*verb.split(), "--gallery", tmp_path / "people.db") == 2
    assert f"{tmp_path}/people.db: there is no such gallery" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_gallery_that_is_being_written_is_busy_for_writers_only(photos, db, tmp_path, capsys):
    with Gallery.open(db):
        assert faces("enroll", "Eve", photos / "eve.png", "--gallery", db) == 1
        assert f"process {os.getpid()} is writing to this gallery; try again" in capsys.readouterr().err
        assert faces("identify", photos / "eve.png", "--gallery", db, "--output", tmp_path / "out") == 0


def test_groups_are_numbered_and_have_no_names(photos, db, tmp_path, capsys):
    photo(tmp_path / "more" / "6.png", (ADA, 11), (EVE, 8), (4, BLURRED))
    words = ["group", photos / "group", tmp_path / "more", "--output"]
    assert faces(*words, tmp_path / "out", "--gallery", db) == 1
    assert "3 people, see groups.json" in capsys.readouterr().out
    text = (tmp_path / "out" / "groups.json").read_text()
    groups = json.loads(text)
    assert [(one["group"], one["images"], len(one["faces"])) for one in groups["groups"]] == [
        (1, 4, 5),
        (2, 2, 2),
        (3, 2, 2),
    ]
    assert groups["together"] == [{"groups": [1, 2], "images": 2}, {"groups": [1, 3], "images": 2}]
    assert (groups["left_out"], groups["threshold"], groups["contract"]) == (1, 0.6, "first")
    (poor,) = groups["ungrouped"]
    assert poor["file"].endswith("6.png") and poor["reasons"] == ["blurred"] and len(poor["box"]) == 4
    with Gallery.open(db, readonly=True) as gallery:
        ids = {f"{person.id:016x}" for person in gallery.people()}
    people = [one["person"] for one in groups["groups"]]
    assert set(people) == ids | {None} and "Ada" not in text
    faces(*words, tmp_path / "plain")
    plain = json.loads((tmp_path / "plain" / "groups.json").read_text())
    assert [one | {"person": None} for one in groups["groups"]] == plain["groups"]
