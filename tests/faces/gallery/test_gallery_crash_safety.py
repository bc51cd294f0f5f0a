"""A gallery whose process is killed at any step: nothing acknowledged is lost, nothing is half-written.

A child process does one thing to a gallery and kills itself with SIGKILL right before its n-th step, where a step is
anything that may change a file: a statement, a line of the audit log, a file moved or deleted. That is done for n = 1,
2, 3 ... until it gets to its end, or for every few of them.
"""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from painted_people import open_writer, paint, painted_recognizer

from vision_app import Gallery
from vision_app.core.errors import GalleryError
from vision_app.faces import index as face_index
from vision_app.faces.gallery import index_cache as cached
from vision_app.faces.gallery.audit import AuditLog
from vision_app.faces.gallery.store import Store

pytestmark = pytest.mark.slow

FORK = multiprocessing.get_context("fork")
NAME = "Ada Lovelace"
STEPS = ((Store, "rows"), (AuditLog, "write"), (Path, "replace"), (Path, "unlink"))


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory):
    """The folder of a gallery of Ada with two photos, and of three others."""
    folder = tmp_path_factory.mktemp("enrolled")
    with open_writer(folder / "people.db") as gallery:
        gallery.enroll(NAME, [paint((1, 1)), paint((1, 2))])
        for person in range(2, 5):
            gallery.enroll(f"Person {person}", [paint((person, 1))])
    return folder


def child(path, action, deadly, acknowledged):
    """Does something to a gallery, and dies before one of its steps; `acknowledged` tells what had been done."""
    steps = 0

    def counted(original):
        def step(*arguments, **options):
            nonlocal steps
            steps += not str(arguments[1]).startswith("SELECT") if len(arguments) > 1 else 1
            if steps == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)

        return step

    for owner, name in STEPS:
        setattr(owner, name, counted(getattr(owner, name)))
    action(path, acknowledged.send)


def killed_at_every_step(enrolled, tmp_path, action, stride=1):
    """Yields the folder's gallery and what was acknowledged, after the child died before its n-th step, for each n."""
    for deadly in range(1, 1000, stride):
        folder = tmp_path / str(deadly)
        shutil.copytree(enrolled, folder)
        receiver, sender = FORK.Pipe(duplex=False)
        process = FORK.Process(target=child, args=(folder / "people.db", action, deadly, sender))
        process.start()
        sender.close()
        process.join()
        acknowledged = []
        while receiver.poll():
            try:
                acknowledged.append(receiver.recv())
            except EOFError:
                break
        yield folder / "people.db", acknowledged
        if process.exitcode == 0:
            assert deadly > 5  # it did die before
            return
        assert process.exitcode == -signal.SIGKILL
        shutil.rmtree(folder)
    raise AssertionError("the child never came to its end")


def content(path):
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


def enroll_two(path, tell):
    with open_writer(path) as gallery:
        for person, photo in ((1, 3), (9, 1)):
            (answer,) = gallery.enroll({1: NAME, 9: "Eve"}[person], [paint((person, photo))])
            tell((answer.name, answer.code))


def test_a_killed_enrollment_keeps_what_it_acknowledged(enrolled, tmp_path):
    for path, acknowledged in killed_at_every_step(enrolled, tmp_path, enroll_two, stride=2):
        assert acknowledged == [(NAME, "accepted"), ("Eve", "accepted")][: len(acknowledged)]
        with Gallery.open(path, readonly=True) as reader:  # before any writer repairs something
            photos = {person.name: person.photos for person in reader.people()}
        with open_writer(path) as gallery:
            assert gallery.check() == []
            assert photos == {person.name: person.photos for person in gallery.people()}
            assert photos[NAME] in (2, 3) and photos.get("Eve", 1) == 1
            assert len(acknowledged) <= (photos[NAME] == 3) + ("Eve" in photos) <= len(acknowledged) + 1
            assert gallery.audit.path.read_text().count('"enroll"') >= sum(photos.values())


def forget_ada(path, tell):
    with open_writer(path) as gallery:
        tell(gallery.forget(NAME).photos)


def test_a_killed_deletion_leaves_all_or_no_traces(enrolled, tmp_path):
    with Gallery.open(enrolled / "people.db", readonly=True) as gallery:
        traces = [sample.source for sample in gallery.samples(NAME)]
        traces += [sample.embedding.tobytes() for sample in gallery.samples(NAME)]
    for path, acknowledged in killed_at_every_step(enrolled, tmp_path, forget_ada):
        with open_writer(path) as gallery:
            assert gallery.check() == []
            photos = {person.name: person.photos for person in gallery.people()}
            assert photos.pop(NAME, 0) in ((2, 0) if not acknowledged else (0,))
            assert photos == {f"Person {number}": 1 for number in range(2, 5)}
            is_gone = gallery.store.find(NAME) is None
        assert is_gone != any(trace in content(path) for trace in traces)


def reembed(path, tell):
    with open_writer(path, "second") as gallery:
        tell(gallery.reembed())


def test_a_killed_reembedding_leaves_embeddings_of_one_model(enrolled, tmp_path):
    for path, acknowledged in killed_at_every_step(enrolled, tmp_path, reembed, stride=3):
        with Gallery.open(path) as gallery:
            assert gallery.check() == []
            assert gallery.store.model_ids in ([["first"], ["second"]] if not acknowledged else [["second"]])
        (model_id,) = gallery_model_ids(path)
        with open_writer(path, model_id) as gallery:
            assert gallery.identify(paint((1, 8))).faces[0].name == NAME


def gallery_model_ids(path):
    with Gallery.open(path, readonly=True) as gallery:
        return gallery.store.model_ids


def rebuild(path, tell):
    with open_writer(path) as gallery:
        gallery.matcher.index.discard()
        gallery.enroll("Eve", [paint((9, 1))])
    tell("closed")


def test_rebuild_of_a_stored_index(enrolled, tmp_path, monkeypatch):
    for module in (face_index, cached):
        monkeypatch.setattr(module, "EXACT_LIMIT", 2)
    monkeypatch.setattr(face_index, "_inverted_file", flat_lists)
    with open_writer(enrolled / "people.db"):
        pass  # which stores the index
    for path, acknowledged in killed_at_every_step(enrolled, tmp_path, rebuild, stride=2):
        file = path.with_name("people.db.index")
        assert file.exists() or not acknowledged
        with open_writer(path) as gallery:
            assert gallery.check() == []
            people = gallery.people()
            assert len(gallery.matcher.index.current()) == len(people)
            for person in people:
                ((nearest,),) = gallery.matcher.candidates(gallery.store.centroid(person.id)[None], 1)
                assert nearest.name == person.name
        leftovers = [each.name for each in path.parent.iterdir() if each.name.endswith(".part")]
        assert leftovers == []


def flat_lists(embeddings):
    """An inverted file that needs no more than a few embeddings to learn from."""
    import faiss

    index = faiss.index_factory(embeddings.shape[1], "IVF1,Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(embeddings)
    return index


def hold_open(path, tell):
    with open_writer(path) as gallery:
        tell("open")
        gallery.enroll("Eve", [paint((9, 1))])
        time.sleep(60)


def test_two_processes_at_once_one_writes_the_other_reads(enrolled, tmp_path):
    path = tmp_path / "people.db"
    shutil.copytree(enrolled, tmp_path, dirs_exist_ok=True)
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=hold_open, args=(path, sender.send))
    process.start()
    try:
        assert receiver.recv() == "open"
        with pytest.raises(GalleryError, match=f"process {process.pid} is writing to this gallery"):
            Gallery.open(path)
        with Gallery.open(path, readonly=True, recognizer=painted_recognizer()) as reader:
            assert reader.identify(paint((1, 8))).faces[0].name == NAME
    finally:
        process.kill()
        process.join()
    with open_writer(path) as gallery:  # the lock went with the process
        assert gallery.check() == []


def test_a_killed_command_keeps_what_it_said(tmp_path):
    """The real thing, once: a program of its own, killed from outside."""
    program = (
        "import sys; from painted_people import paint, painted_recognizer; from vision_app import Gallery\n"
        "with Gallery.open(sys.argv[1], recognizer=painted_recognizer()) as gallery:\n"
        "    for person in range(1, 250):\n"
        "        print(person, gallery.enroll(f'Person {person}', [paint((person, 1))])[0].code, flush=True)\n"
    )
    tests = Path(__file__).parents[2]
    paths = os.pathsep.join([str(tests), str(tests.parent)])
    command = [sys.executable, "-c", program, tmp_path / "people.db"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": paths})
    said = [process.stdout.readline() for _ in range(8)]
    process.kill()
    said += process.stdout.readlines()
    process.wait()
    accepted = {f"Person {line.split()[0]}" for line in said if line.endswith("accepted\n")}
    assert len(accepted) >= 8
    with open_writer(tmp_path / "people.db") as gallery:
        assert gallery.check() == []
        assert accepted <= {person.name for person in gallery.people()}
        assert len(gallery.people()) <= len(accepted) + 1
