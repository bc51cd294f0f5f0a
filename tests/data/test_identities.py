"""Who is on which photo: folders and CSV files, and what is wrong with them."""

import pytest

from vision_app.core.errors import DataError
from vision_app.data.identities import Portrait, load_identities


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def test_every_sub_folder_is_a_person(tmp_path):
    write(tmp_path, "Zoë/b.JPG", "Zoë/a.png", "Ada B/2020/x.webp", "Ada B/y.jpg")
    write(tmp_path, "__MACOSX/Ada B/y.jpg", "Zoë/._a.png")
    write(tmp_path, "Ada B/notes.txt", "Ada B/.hidden.jpg", ".cache/z.jpg", "nobody.jpg")
    (tmp_path / "Ada B" / "folder.jpg").mkdir()
    found = load_identities(tmp_path)
    assert [(one.file, one.identity, one.split) for one in found] == [
        ("Ada B/2020/x.webp", "Ada B", ""),
        ("Ada B/y.jpg", "Ada B", ""),
        ("Zoë/a.png", "Zoë", ""),
        ("Zoë/b.JPG", "Zoë", ""),
    ]
    assert all(one.path == tmp_path / one.file for one in found)


def test_a_table_lists_files_beside_it(tmp_path):
    (tmp_path / "people.csv").write_text(
        '\ufeffsource,file,identity,split\nweb,a/1.jpg,"Lovelace, Ada",train\nweb,a/._1.jpg,Ada,\nweb,2.jpg,,val\n',
        encoding="utf-8",
    )
    assert load_identities(tmp_path / "people.csv") == [
        Portrait("a/1.jpg", tmp_path / "a/1.jpg", "Lovelace, Ada", "train"),
        Portrait("2.jpg", tmp_path / "2.jpg", "", "val"),
    ]
    (tmp_path / "plain.csv").write_text("file,identity\n1.jpg,Ada\n", encoding="utf-8")
    assert load_identities(tmp_path / "plain.csv") == [Portrait("1.jpg", tmp_path / "1.jpg", "Ada")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("file,name\n1.jpg,Ada\n", "has no column 'identity'; its first line must name file, identity"),
        ("", "has no column 'file'"),
        ("file,identity\n", "lists nothing"),
        ("file,identity\n1.jpg,Ada\n,Bob\n", "row 3 is incomplete"),
        ("file,identity\n1.jpg\n", "row 2 is incomplete"),
        (b"file,identity\n\xff,Ada\n", "cannot be read as CSV"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(tmp_path, content, words):
    path = tmp_path / "people.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=f"people.csv: .*{words}"):
        load_identities(path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.csv", "cannot be read as CSV \\(No such file"),
        ("people.json", "give a folder with a sub-folder per person, or a CSV file"),
        ("empty", "put each person's into a sub-folder"),
    ],
)
def test_what_is_no_set_of_people_is_refused(tmp_path, name, words):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", "1.jpg")
    with pytest.raises(DataError, match=f"{name}: .*{words}"):
        load_identities(tmp_path / name)
