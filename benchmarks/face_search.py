"""Milliseconds to find a face among very many people, how often the right one is found, and what enrolling costs.

    python benchmarks/face_search.py --people 10000 100000 1000000

People are made up: each is a random unit vector, and a probe of a person is at a random cosine similarity to it. The
vectors fill their 128 dimensions unevenly, as real embeddings do, so that strangers' similarities spread as widely
(standard deviation 0.16) and probes' (0.7 +- 0.1) lie where those of real photos do; `--even` fills all dimensions
evenly instead, which is harder for an index with lists. Everything goes through a gallery's file: a query is the search
of `Gallery.identify`, once a face has its embedding, with the names of those found but without the line in the audit
log. On a busy machine, look at the CPU time of a query: one runs on one core.
"""

import argparse
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import faiss
import numpy as np

from vision_app.faces.gallery import EnrolledPhoto, Gallery
from vision_app.faces.gallery.enroll import add

DIMENSION = 128
SAME = (0.7, 0.1)  # mean and standard deviation of the similarity of a probe to its person
BATCH = 64  # faces searched together
BULK = 10_000  # people written in one transaction
SINGLE = 300  # people enrolled one at a time, and forgotten
COLUMNS = (
    "people", "index", "build s", "one ms", "95 % ms", "one CPU ms", "batch ms/face", "identity recall", "rank-1",
    "index MB", "file MB", "peak MB", "enroll/s", "delete/s", "forget s",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--probes", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--even", action="store_true", help="fill all dimensions evenly")
    parser.add_argument("--folder", type=Path, help="where the galleries are written, for a while; by default /tmp")
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(arguments.threads)
    print(*COLUMNS, sep="\t")
    for people in arguments.people:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            row = measure(Path(folder) / "people.db", people, arguments.probes, even=arguments.even)
        print(*row, sep="\t", flush=True)


def measure(path: Path, people: int, count: int, *, even: bool) -> tuple:
    """Return a line of the table, see COLUMNS."""
    dice = np.random.default_rng(0)
    shape = np.sqrt((1 + np.arange(DIMENSION) / 8) ** (0 if even else -1.2)).astype(np.float32)
    turn = np.linalg.qr(dice.standard_normal((DIMENSION, DIMENSION)))[0].astype(np.float32)
    embeddings = draw(dice, people, shape, turn)
    known = dice.choice(people, count, replace=False)
    near = np.clip(dice.normal(*SAME, count), 0.4, 0.95).astype(np.float32)[:, None]
    probes = unit(near * embeddings[known] + np.sqrt(1 - near**2) * draw(dice, count, shape, turn))
    nearest = exact_nearest(probes, embeddings)

    fill(path, embeddings)
    build, opened = timed(lambda: Gallery.open(path))
    with opened as gallery:
        say(f"the index of {people:,} people is made")
        matcher, index = gallery.matcher, gallery.matcher.index.latest()
        kind, size = "exact" if index.exact else "lists", len(index.to_bytes()) / 1e6
        matcher.candidates(probes[:5], 5)
        before = time.thread_time()
        one, found = zip(*(timed(lambda p=probe: matcher.candidates(p[None], 5)[0]) for probe in probes), strict=True)
        work = 1000 * (time.thread_time() - before) / count
        batch = [timed(lambda i=i: matcher.candidates(probes[i : i + BATCH], 5))[0] for i in range(0, count, BATCH)]
        names = np.array([int(candidates[0].name) for candidates in found])
        new = draw(dice, SINGLE, shape, turn)
        enroll, _ = timed(
            lambda: [add(matcher, gallery.audit, f"new {i}", sample(people + i, e)) for i, e in enumerate(new)]
        )
        delete, _ = timed(lambda: [delete_one(gallery, f"new {i}") for i in range(SINGLE)])
        forget, _ = timed(lambda: gallery.forget("0"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    recall, rank = (names == nearest).mean(), (names == known).mean()
    middle, slow = np.percentile(1000 * np.array(one), [50, 95])
    return (
        f"{people}", kind, f"{build:.1f}", f"{middle:.2f}", f"{slow:.2f}", f"{work:.2f}",
        f"{1000 * sum(batch) / count:.2f}", f"{recall:.4f}", f"{rank:.4f}", f"{size:.0f}",
        f"{path.stat().st_size / 1e6:.0f}", f"{peak:.0f}", f"{SINGLE / enroll:.0f}",
        f"{SINGLE / delete:.0f}", f"{forget:.1f}",
    )  # fmt: skip


def draw(dice: np.random.Generator, count: int, shape: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """(count, DIMENSION) random unit vectors that are as wide as `shape` says, in directions of no axis."""
    return unit(dice.standard_normal((count, DIMENSION), np.float32) * shape @ turn)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def exact_nearest(probes: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
    """(n,) the embedding nearest to each probe, by comparing them all."""
    return np.concatenate([(probes[i : i + 50] @ embeddings.T).argmax(1) for i in range(0, len(probes), 50)])


def sample(number: int, embedding: np.ndarray) -> EnrolledPhoto:
    """Return a photo of a person, whose image is not kept."""
    source = sha256(str(number).encode()).digest()
    where = {"box": [0, 0, 112, 112], "landmarks": [[0, 0]] * 5, "quality": {"score": 1}}
    return EnrolledPhoto(0, source, **where, embedding=embedding, model_id="made up", consent="", added="")


def fill(path: Path, embeddings: np.ndarray) -> None:
    """Write people, numbered from 0 and named by their numbers, into the tables of a gallery."""
    Gallery.open(path).close()
    connection = sqlite3.connect(path)
    keys = np.sort(np.random.default_rng(1).choice(2**62, len(embeddings), replace=False)).tolist()
    connection.execute("INSERT INTO model VALUES (1, 'made up')")
    for start in range(0, len(keys), BULK):
        numbers = range(start, min(start + BULK, len(keys)))
        people = [(keys[i], str(i), "") for i in numbers]
        centroids = [(keys[i], keys[i], embeddings[i].tobytes()) for i in numbers]
        photos = [
            (keys[i], keys[i], 1, embeddings[i].tobytes(), sample(i, embeddings[i]).source, "[]", "[]", "{}", "", "")
            for i in numbers
        ]
        connection.executemany("INSERT INTO person VALUES (?, ?, ?)", people)
        connection.executemany("INSERT INTO centroid VALUES (?, ?, ?)", centroids)
        connection.executemany(f"INSERT INTO sample VALUES ({', '.join('?' * 10)})", photos)
        connection.commit()
        say(f"{start:,} of {len(embeddings):,} people written")
    connection.close()


def delete_one(gallery: Gallery, name: str) -> None:
    """Take a person out of rows and index, without wiping the file."""
    with gallery.store.change() as change:
        gallery.store.delete_person(gallery.store.person(name).id)
    gallery.matcher.index.follow(change)


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Seconds that something takes, and what it returns."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def say(line: str) -> None:
    print(f"{line:<70}", end="\r", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
