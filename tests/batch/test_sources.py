"""Which files are read, in which order, and what they are called."""

import glob
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision_app.batch.sources import Names, list_inputs
from vision_app.core.errors import UsageError


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files_of(*sources, output="out"):
    inputs, others, *_ = list_inputs(sources, suffixes={".jpg", ".png"}, output=output)
    return [item.file for item in inputs], others


def test_a_folder_is_walked_in_the_byte_order_of_paths(here):
    make(here, "photos/b.jpg", "photos/a/z.PNG", "photos/a.jpg", "photos/B.JpG", "photos/ä.png", "photos/a-/x.jpg")
    make(here, "photos/notes.txt", "photos/a/z.png.bak", "photos/jpg")
    expected = ["B.JpG", "a-/x.jpg", "a.jpg", "a/z.PNG", "b.jpg", "ä.png"]  # "-" < "." < "/" in bytes
    assert files_of("photos") == ([f"photos/{name}" for name in expected], 3)


@pytest.mark.parametrize("kind", [str, Path])
def test_one_source_is_taken_as_a_list_of_one_is(here, kind):
    make(here, "photos/a.jpg")
    for source in ("photos", "photos/a.jpg", "photos/*"):
        inputs, *_ = list_inputs(kind(source), suffixes={".jpg"}, output="out")
        assert [item.file for item in inputs] == ["photos/a.jpg"]


@given(st.sets(st.text("abB.-_äé", min_size=1, max_size=4).filter(lambda name: not name.startswith(".")), max_size=12))
def test_walk_order_is_the_byte_order_for_any_names(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("walk")
    paths = [folder / name / f"{name}.png" for name in names] + [folder / f"{name}.jpg" for name in names]
    for path in paths:
        if not path.parent.is_file() and not path.is_dir():
            path.parent.mkdir(exist_ok=True)
            path.touch()
    there = [os.fspath(path) for path in folder.rglob("*") if path.is_file()]
    assert files_of(folder)[0] == sorted(there, key=os.fsencode)


def test_paths_stay_as_given(here):
    make(here, "photos/a.jpg")
    for source, file in {
        "photos": "photos/a.jpg",
        "photos/": "photos/a.jpg",
        "./photos": "./photos/a.jpg",
        "photos/../photos": "photos/../photos/a.jpg",
        str(here / "photos"): str(here / "photos/a.jpg"),
        "./photos/*.jpg": "./photos/a.jpg",
    }.items():
        assert files_of(source) == ([file], 0), source


def test_hidden_files_linked_folders_and_the_output_are_left_out(here):
    make(here, "photos/a.jpg", "photos/.b.jpg", "photos/.git/c.jpg", "photos/out/images/a.jpg.jpg", "elsewhere/d.jpg")
    (here / "photos/link").symlink_to(here / "elsewhere")
    (here / "photos/loop").symlink_to(here / "photos")
    (here / "photos/file-link.jpg").symlink_to(here / "elsewhere/d.jpg")
    (here / "photos/broken.jpg").symlink_to("nowhere")
    expected = ["photos/a.jpg", "photos/broken.jpg", "photos/file-link.jpg"]
    assert files_of("photos", output="photos/out") == (expected, 0)
    assert files_of("photos/*", output="photos/out") == (expected, 0)
    for source in ("photos", "photos/*", "."):
        with pytest.raises(UsageError, match=re.escape(f"--output .: contains the source {source};")):
            files_of(source, output=".")
    assert files_of("photos/.git") == (["photos/.git/c.jpg"], 0)  # named, so not hidden


def test_brackets_of_a_pattern_also_stand_for_themselves(here):
    make(here, "[2020]/a.jpg", "[2020]/b[1].jpg", "Trip [1]/x.jpg", "Trip 1/y.jpg", "2/z.jpg", "b1.jpg")
    for pattern, files in {
        "[2020]/*.jpg": ["2/z.jpg", "[2020]/a.jpg", "[2020]/b[1].jpg"],
        "[2020]/b[1]*": ["[2020]/b[1].jpg"],
        "Trip [1]/*.jpg": ["Trip 1/y.jpg", "Trip [1]/x.jpg"],
        f"{here}/Trip [1]/*": [f"{here}/Trip 1/y.jpg", f"{here}/Trip [1]/x.jpg"],
        "*/b[1]*": ["[2020]/b[1].jpg"],
        "b[1].*": ["b1.jpg"],
        "[x]/*.jpg": [],
    }.items():
        assert files_of(pattern) == (files, 0), pattern
        escaped = glob.glob(pattern.replace("[", "[[]"))  # noqa: PTH207
        assert set(escaped) <= set(files)


def test_images_that_an_earlier_run_wrote_are_left_out_and_counted(here):
    make(here, "p/a.jpg", "p/images/b.png", "p/run/images/a.jpg.jpg", "p/run/images/images/b.png.JPG.jpg")
    make(here, "p/styled/a.jpg__waves.png", "p/styled/sub/a.jpg__waves.png", "p/styled/previews/a.jpg__waves/00010.png")
    make(here, "p/compared/images/1-yolo/a.jpg.jpg", "p/compared/thumbnails/1-yolo/a.jpg.jpg")
    everything = sorted(os.fspath(path) for path in Path("p").rglob("*.*") if path.is_file())
    assert files_of("p")[0] == everything  # there is no run
    make(here, "p/run/detections.settings.json", "p/styled/styles.settings.json", "p/compared/comparison.settings.json")
    make(here, "p/run/images/photo.jpg", "p/styled/photo.png", "p/__.png")  # the user's own
    own = ["p/__.png", "p/a.jpg", "p/images/b.png", "p/run/images/photo.jpg", "p/styled/photo.png"]
    for source in ("p", "p/**", "*"):
        inputs, others, empty, copies = list_inputs([source], suffixes={".jpg", ".png"}, output="out")
        assert ([item.file for item in inputs], others, empty, copies) == (own, 3, [], 7)
    named = ["p/run/images/a.jpg.jpg", "p/styled/a.jpg__waves.png"]
    assert files_of(*named) == (named, 0)
    assert len(files_of("p/run/images")[0]) == 3  # the folder of the copies itself


def test_a_file_named_explicitly_is_always_listed(here):
    make(here, "notes.txt", ".hidden.jpg", "out/copy.jpg", "photo[1].jpg")
    sources = ["notes.txt", ".hidden.jpg", "out/copy.jpg", "photo[1].jpg", "missing.JPG", "notes.txt"]
    assert files_of(*sources) == (sources, 0)


def test_a_pattern_stands_for_files_and_folders_once_each(here):
    make(here, "p/2023/a.jpg", "p/2024/b.jpg", "p/2024/sub/c.png", "p/2024/note.txt", "p/z.jpg")
    everything = ["p/2023/a.jpg", "p/2024/b.jpg", "p/2024/sub/c.png", "p/z.jpg"]
    assert files_of("p/2024*") == (everything[1:3], 1)
    assert files_of("p/**") == (everything, 1)
    assert files_of("p/**/*.jpg") == ([everything[0], everything[1], everything[3]], 0)
    assert files_of("p/*.gif") == ([], 0)
    assert files_of("p/*.gif", "p/z.jpg", "p/2023") == (["p/z.jpg", "p/2023/a.jpg"], 0)


def test_a_pattern_enters_no_linked_folder_behind_its_first_wildcard(here):
    make(here, "p/a.jpg", "p/sub/b.jpg", "p/.hidden/c.jpg", "elsewhere/d.jpg", "elsewhere/deep/e.jpg")
    for place, target in {"p/loop": "p", "p/sub/up": "p", "p/link": "elsewhere"}.items():
        (here / place).symlink_to(here / target)
    (here / "q").symlink_to(here / "p")
    assert files_of("p/**") == (["p/a.jpg", "p/sub/b.jpg"], 0)
    assert files_of("p/**/*.jpg") == (["p/a.jpg", "p/sub/b.jpg"], 0)
    assert files_of("p/*/") == files_of("p/*/*.jpg") == files_of("p/**/b.jpg") == (["p/sub/b.jpg"], 0)
    assert files_of("q/**") == (["q/a.jpg", "q/sub/b.jpg"], 0)  # the fixed part may be a link, as a folder may
    assert files_of("p/link/*.jpg") == (["p/link/d.jpg"], 0)
    assert files_of("p/.h*/*") == (["p/.hidden/c.jpg"], 0)


TREE = ["a.jpg", "ab.jpg", ".b.jpg", "a/a.jpg", "a/.b/a.jpg", "a/b/a.jpg", "a/b/note.txt", ".a/b.jpg", "b/b/b/b.jpg"]


@given(
    st.sets(st.sampled_from(TREE)),
    st.lists(st.sampled_from(["a", "b", "*", "**", "?", "[ab]*", ".*", "*.jpg", "a/.."]), min_size=1, max_size=4),
)
def test_patterns_match_what_glob_matches(tmp_path_factory, names, parts):
    folder = tmp_path_factory.mktemp("patterns")
    make(folder, *names)
    pattern = "/".join([os.fspath(folder), *parts, "*"])
    expected = set()
    for match in map(Path, glob.glob(pattern, recursive=True)):  # noqa: PTH207
        below = match.rglob("*.jpg") if match.is_dir() else {match} - {match.with_suffix(".txt")}
        expected |= {path for path in below if not any(part[0] == "." for part in path.relative_to(match).parts)}
    assert set(map(Path, files_of(pattern)[0])) == expected


def test_the_working_directory_may_be_the_start_of_a_pattern(here):
    make(here, "a.jpg", "p/b.jpg", "notes.txt")
    for pattern in ("*", "**"):
        assert files_of(pattern) == (["a.jpg", "p/b.jpg"], 1)
        assert files_of(f"./{pattern}") == (["./a.jpg", "./p/b.jpg"], 1)
    assert files_of("**/*.jpg") == (["a.jpg", "p/b.jpg"], 0)


def test_a_link_to_itself_is_listed_and_fails_when_read(here):
    make(here, "p/a.jpg")
    (here / "p/self.jpg").symlink_to("self.jpg")
    for source in ("p", "p/*", "p/**", "**"):
        assert files_of(source) == (["p/a.jpg", "p/self.jpg"], 0)


def test_sources_that_bring_up_nothing_are_told(here):
    make(here, "p/a.jpg", "texts/notes.txt")
    (here / "nothing").mkdir()
    sources = ["p", "nothing", "p/*.gif", "texts", "missing.jpg"]
    assert list_inputs(sources, suffixes={".jpg"}, output="out")[2] == ["nothing", "p/*.gif", "texts"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("phtos", "source 'phtos': no such file or folder; did you mean 'photos'?"),
        ("photos/summr/", "source 'photos/summr/': no such file or folder; did you mean 'photos/summer'?"),
        ("nowhere/at/all", "source 'nowhere/at/all': no such file or folder"),
        ("", "source '': no such file or folder"),
    ],
)
def test_a_source_that_is_nothing_is_refused_with_the_nearest_name(here, source, message):
    make(here, "photos/summer/a.jpg")
    with pytest.raises(UsageError) as caught:
        files_of(source)
    assert str(caught.value) == message


def test_names_mirror_sub_folders_and_never_meet(here):
    make(here, "one/a.png", "one/sub/a.png", "two/a.png", "two/a.png-2", "deep/er/x/a.png")
    sources = ["one", "two", "one/a.png", "deep/*/x", "one/../two/a.png", "deep/*/../../one/sub"]
    inputs, *_ = list_inputs(sources, suffixes={".png", "-2"}, output="out")
    assert [item.name for item in inputs] == [
        "a.png", "sub/a.png", "a.png-2", "a.png-2-2", "a.png-3", "er/x/a.png", "a.png-4", "one/sub/a.png",
    ]  # fmt: skip
    unnamed, *_ = list_inputs(sources, suffixes={".png", "-2"}, output="out", named=False)
    assert [(item.file, item.name) for item in unnamed] == [(item.file, "") for item in inputs]


@given(st.lists(st.sampled_from(["a", "a-2", "a-2-2", "b"]), max_size=20))
def test_names_are_unlike_for_any_sources(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("names")
    make(folder, "a", "a-2", "a-2-2", "b")
    inputs, *_ = list_inputs([folder / name for name in names], suffixes=(), output=folder / "out")
    assert [item.file for item in inputs] == [os.fspath(folder / name) for name in names]
    assert len({item.name for item in inputs}) == len(names)


def test_a_folder_that_cannot_be_listed_gets_a_row(here, monkeypatch):
    make(here, "photos/a.jpg", "photos/secret/b.jpg", "photos/z.jpg")
    scandir = os.scandir

    def refuse(path):
        if path == "photos/secret":  # chmod does not stop a test that runs as root
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    inputs, *_ = list_inputs(["photos"], suffixes={".jpg"}, output="out")
    assert [(item.file, item.problem) for item in inputs] == [
        ("photos/a.jpg", None),
        ("photos/secret", "the folder cannot be listed: Permission denied"),
        ("photos/z.jpg", None),
    ]


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (["a.jpg", "a.jpg.jpg/b.jpg"], ["a.jpg", "a.jpg.jpg-2/b.jpg"]),
        (["a.jpg.jpg/b.jpg", "a.jpg"], ["a.jpg.jpg/b.jpg", "a.jpg-2"]),
        (
            ["a.jpg", "a.jpg.jpg/b", "a.jpg.jpg/c", "a.jpg.jpg/b"],
            ["a.jpg", *(f"a.jpg.jpg-2/{x}" for x in ("b", "c", "b-2"))],
        ),
        (["a", "a.jpg/b/c", "a.jpg/b"], ["a", "a.jpg-2/b/c", "a.jpg-2/b"]),
        (["a", "a.jpg-2", "a.jpg/x"], ["a", "a.jpg-2", "a.jpg-2/x"]),
        (["a/b", "a", "a"], ["a/b", "a", "a-2"]),
    ],
)
def test_no_file_is_to_be_made_where_another_one_needs_a_folder(wanted, names):
    claim = Names(".jpg").claim
    assert [claim(name) for name in wanted] == names
