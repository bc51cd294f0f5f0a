"""Grouping: which faces are of one person, when nobody is known by name. NumPy and SciPy."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from vision_app.batch.sinks import write_text
from vision_app.core.files import OWNER_ONLY
from vision_app.core.results import rounded

ROWS = 2048  # faces that are compared with all others at a time


def group_faces(embeddings: np.ndarray, threshold: float) -> np.ndarray:
    """Join the two groups that are nearest to each other, again and again, while they are near enough.

    The similarity of two groups is the mean over all pairs of their faces (average linkage, Sokal and Michener 1958),
    so that one face between two people does not join them. Groups that are near enough have a pair that is, so each
    connected part of the graph of such pairs can be grouped for itself.

    Args:
        embeddings: (N, D) unit vectors.
        threshold: The cosine similarity from which groups are joined.

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
    """Count the files that show both of two groups, for every pair that shares one; the most frequent pair first."""
    groups: dict[str, set[int]] = {}
    for label, file in zip(labels, files, strict=True):
        groups.setdefault(file, set()).add(int(label))
    counts = Counter(pair for members in groups.values() for pair in combinations(sorted(members), 2))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _parts(embeddings: np.ndarray, threshold: float) -> list[np.ndarray]:
    """Return the faces of each connected part of the graph whose edges are pairs that are near enough."""
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
    path: Path,
    rows: Iterable[dict[str, Any]],
    *,
    threshold: float,
    far: float,
    person_of: Callable[[np.ndarray], str | None] | None = None,
) -> int:
    """Group the faces of a journal and write a JSON file, which appears whole or not at all.

    Its keys: `contract`, `threshold` and `far`; `groups`, the largest first, each with its number `group`, how many
    `images` it is in, the random id of the enrolled `person` whom it is near enough to, or null, and its `faces`, by
    `file` and `box`; `together`, in how many `images` two `groups` are; `left_out`, how many faces are not fit to be
    grouped, and `ungrouped`, which these are, by `file`, `box` and `reasons`.

    Args:
        path: The file.
        rows: Of a journal of `FacesTask` with embeddings.
        threshold: See `group_faces`.
        far: False accept rate at that similarity.
        person_of: Gives the id of the enrolled person whom (N, D) embeddings show, if any, see `Matcher.person_of`.

    Returns:
        The number of groups.

    Raises:
        OutputError: The file cannot be written.
    """
    faces, files, vectors, ungrouped, model_id = [], [], [], [], None
    for row in rows:
        model_id = row["contract"]
        for face in row["faces"]:
            place = {"file": row["file"], "box": face["box"]}
            if reasons := face["quality"]["reasons"]:
                ungrouped.append({**place, "reasons": reasons})
                continue
            faces.append(place)
            files.append(row["file"])
            vectors.append(face["embedding"])
    embeddings = np.array(vectors, np.float32)
    labels, groups = group_faces(embeddings, threshold), []
    for label in range(labels.max(initial=-1) + 1):
        members = np.flatnonzero(labels == label)
        groups.append({
            "group": label + 1,
            "images": len({files[member] for member in members}),
            "person": None if person_of is None else person_of(embeddings[members]),
            "faces": [faces[member] for member in members],
        })  # fmt: skip
    pairs = together(labels.tolist(), files).items()
    content = {
        "contract": model_id,
        "threshold": rounded(threshold, 4),
        "far": far,
        "groups": groups,
        "together": [{"groups": [a + 1, b + 1], "images": count} for (a, b), count in pairs],
        "left_out": len(ungrouped),
        "ungrouped": ungrouped,
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    write_text(path, text, OWNER_ONLY)
    return len(groups)
