"""Grouping: which faces are of one person, when nobody is known by name. NumPy and SciPy."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from vision_app.batch.sinks import OutputError
from vision_app.core.files import OWNER_ONLY, atomic_write
from vision_app.core.results import rounded
from vision_app.faces.align import centroid_of

if TYPE_CHECKING:
    from vision_app.faces.gallery import Gallery

ROWS = 2048  # faces that are compared with all others at a time


def group_faces(embeddings: np.ndarray, threshold: float) -> np.ndarray:
    """Joins the two groups that are nearest to each other, again and again, while they are near enough.

    The similarity of two groups is the mean over all pairs of their faces (average linkage, Sokal and Michener 1958),
    so that one face between two people does not join them. Groups that are near enough have a pair that is, so each
    connected part of the graph of such pairs can be grouped for itself.

    Args:
        embeddings: (N, D) unit vectors.
        threshold: the cosine similarity from which groups are joined.

    Returns:
        (N,) numbers of the groups, from 0 for the largest; those of one size in the order of their first faces.
    """
    if not len(embeddings):
        return np.zeros(0, int)
    labels, count = np.zeros(len(embeddings), int), 0
    for members in _parts(embeddings, threshold):
        labels[members] = count
        if len(members) > 2:
            distances = 1 - np.clip(embeddings[members] @ embeddings[members].T, -1, 1).astype(np.float64)
            np.fill_diagonal(distances, 0)
            tree = linkage(squareform(distances, checks=False), "average")
            labels[members] += fcluster(tree, 1 - threshold, "distance") - 1
        count = labels[members].max() + 1
    _, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    ranks = np.empty(count, int)
    ranks[np.lexsort((first, -sizes))] = np.arange(count)
    return ranks[labels]


def together(labels: Sequence[int], files: Sequence[str]) -> dict[tuple[int, int], int]:
    """In how many files both of two groups are, for every pair that shares one; the most frequent first."""
    groups: dict[str, set[int]] = {}
    for label, file in zip(labels, files, strict=True):
        groups.setdefault(file, set()).add(int(label))
    counts = Counter(pair for members in groups.values() for pair in combinations(sorted(members), 2))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _parts(embeddings: np.ndarray, threshold: float) -> list[np.ndarray]:
    """The faces of each connected part of the graph whose edges are pairs that are near enough."""
    edges = []
    for start in range(0, len(embeddings), ROWS):
        near = embeddings[start : start + ROWS] @ embeddings.T >= threshold
        edges.append(np.argwhere(near) + np.array([start, 0]))
    rows, columns = np.concatenate(edges).T
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(len(embeddings),) * 2)
    count, parts = connected_components(graph, directed=False)
    order = np.argsort(parts, kind="stable")
    return np.split(order, np.cumsum(np.bincount(parts, minlength=count))[:-1])


def write_groups(
    path: Path, rows: Iterable[dict], *, threshold: float, far: float, gallery: "Gallery | None" = None
) -> int:
    """Groups the faces of a journal and writes a JSON file, which appears whole or not at all.

    Its keys: `contract`, `threshold` and `far`; `groups`, the largest first, each with its number `group`, how many
    `images` it is in, the random id of the enrolled `person` whom it is near enough to, or null, and its `faces`, by
    `file` and `box`; `together`, in how many `images` two `groups` are; and `left_out`, how many faces were too poor.

    Args:
        path: the file.
        rows: of a journal of `FacesTask` with embeddings.
        threshold: see `group_faces`.
        far: false accept rate at that similarity.
        gallery: who is known; nobody by default.

    Returns:
        The number of groups.

    Raises:
        OutputError: the file cannot be written.
    """
    faces, left_out, contract = [], 0, None
    for row in rows:
        contract = row["contract"]
        good = [face for face in row["faces"] if not face["quality"]["reasons"]]
        faces += [(row["file"], face["box"], face["embedding"]) for face in good]
        left_out += len(row["faces"]) - len(good)
    embeddings = np.array([embedding for *_, embedding in faces], np.float32)
    labels, files = group_faces(embeddings, threshold), [file for file, *_ in faces]
    groups = []
    for label in range(labels.max(initial=-1) + 1):
        members = np.flatnonzero(labels == label)
        groups.append({
            "group": label + 1,
            "images": len({files[member] for member in members}),
            "person": None if gallery is None else _person(gallery, embeddings[members]),
            "faces": [{"file": files[member], "box": faces[member][1]} for member in members],
        })  # fmt: skip
    pairs = together(labels, files).items()
    content = {
        "contract": contract,
        "threshold": rounded(threshold, 4),
        "far": far,
        "groups": groups,
        "together": [{"groups": [a + 1, b + 1], "images": count} for (a, b), count in pairs],
        "left_out": left_out,
    }
    try:
        with atomic_write(path, OWNER_ONLY) as temporary, temporary.open("wb") as stream:
            text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
            stream.write(text.encode(errors="backslashreplace"))
    except OSError as error:
        raise OutputError(path, error) from error
    return len(groups)


def _person(gallery: "Gallery", embeddings: np.ndarray) -> str | None:
    """The id, as in the audit log, of the enrolled person whom a group of faces shows, if any."""
    (candidates,) = gallery.candidates(centroid_of(embeddings)[None], 1)
    gain = gallery.recognizer.calibration.gain(len(embeddings))  # the group's mean is one of several photos as well
    near = [one for one in candidates if one.similarity >= gallery.threshold(photos=one.photos) + gain]
    return f"{near[0].id:016x}" if near else None
