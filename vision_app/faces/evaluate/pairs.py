"""Which photos are compared with which: pairs from a list, or all pairs of photos whose people are known."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np

from vision_app.core.errors import DataError
from vision_app.data.identities import COLUMNS, load_identities, read_header, read_table
from vision_app.data.parse import flag
from vision_app.faces.evaluate.metrics import FOLDS

LISTED = ("file_a", "file_b", "same")  # columns of a list of pairs
MAX_PHOTOS = 4_000  # that are compared with each other: 8 million pairs
MAX_PHOTOS_EACH = 10  # of a person, in what thresholds are fitted to and checked on
SPLITS = ("val", "test")  # of a set of people, the part to measure on: the first of these that exists, or else all


@dataclass(frozen=True, eq=False)
class Comparisons:
    """N pairs of photos.

    Attributes:
        similarity: (N,) cosine of the two embeddings, NaN where a photo has none.
        same: (N,) bool, whether both show one person.
        units: (N, U) numbers of what was drawn at random: the two people of a pair or, where people are unknown, the
            pair itself. Resampling these gives confidence intervals that account for one person being in many pairs.
        groups: (N,) the group that both people belong to, "" where there is none.
    """

    similarity: np.ndarray
    same: np.ndarray
    units: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.similarity)

    def keep(self, chosen: np.ndarray) -> "Comparisons":
        """Return some of the pairs, by mask (N,)."""
        return Comparisons(*(column[chosen] for column in vars(self).values()))


@dataclass(frozen=True, eq=False)
class PairList:
    """Pairs from a list.

    Attributes:
        first, second: (N,) numbers of the photos.
        same: (N,) bool.
        folds: (N, 2) fold of each photo, see `metrics.fold_accuracy`.
        folds_given: Whether the list gives the folds, or they were drawn.
        groups: (N,) "" where the list gives none.
    """

    first: np.ndarray
    second: np.ndarray
    same: np.ndarray
    folds: np.ndarray
    folds_given: bool
    groups: np.ndarray


@dataclass(frozen=True, eq=False)
class FacePhotos:
    """F photos to embed and to compare.

    Attributes:
        files: Their names in the data.
        paths: Where they are.
        names: (F,) of the people, or None where they are unknown.
        groups: (F,) group of each person, "" where there is none.
        listed: The pairs that a list asks for, or None.
    """

    files: tuple[str, ...]
    paths: tuple[Path, ...]
    names: np.ndarray | None
    groups: np.ndarray
    listed: PairList | None = None

    @property
    def pairs(self) -> PairList:
        """The listed pairs; raises ValueError where there is no list."""
        if self.listed is None:
            raise ValueError("photos: expected a list of pairs")
        return self.listed

    def keep(self, chosen: np.ndarray) -> "FacePhotos":
        """Return some of the photos, by mask (F,), without a list of pairs."""
        files, paths = tuple(compress(self.files, chosen)), tuple(compress(self.paths, chosen))
        return FacePhotos(files, paths, None if self.names is None else self.names[chosen], self.groups[chosen])


def load_photos(data: Path, images: Path | None = None, split: str | None = None) -> FacePhotos:
    """Read what is to be compared.

    Args:
        data: A folder with a sub-folder a person, a CSV file with the columns `file` and `identity` (as
            `identities.load_identities` reads them, and optionally `group`), or a CSV file with the columns `file_a`,
            `file_b` and `same` (1 or 0; optionally `fold`, `group`, `identity_a` and `identity_b`). Where a list of
            pairs does not say who is on the photos, their folders are taken for people if every pair agrees with that.
        images: Folder of the files of a list of pairs; the folder of the list by default.
        split: Part of a set of people; the first of `SPLITS` that exists by default, or else all.

    Raises:
        DataError: It cannot be read, or there is nothing to compare in it.
    """
    if data.suffix.lower() == ".csv" and LISTED[0] in read_header(data):
        return _read_list(data, images or data.parent)
    return _read_people(data, split)


def of_files(files: Sequence[str], source: Path) -> FacePhotos:
    """Return photos that are in a folder for each person.

    Raises:
        DataError: They are in one folder; the message names `source`, which lists them.
    """
    names = np.array([Path(file).parent.name for file in files])
    _check_people(names, str(source))
    return FacePhotos(tuple(files), tuple(map(Path, files)), names, np.full(len(files), ""))


def compare_listed(embeddings: np.ndarray, photos: FacePhotos) -> Comparisons:
    """Compare the pairs of the list.

    Args:
        embeddings: (F, D) unit vectors, NaN where a photo has none.
        photos: F photos with `listed`.
    """
    listed = photos.pairs
    similarity = np.einsum("nd,nd->n", embeddings[listed.first], embeddings[listed.second])
    units = np.arange(len(similarity))[:, None]
    if photos.names is not None:
        units = numbers(photos.names)[np.stack([listed.first, listed.second], axis=1)]
    return Comparisons(similarity, listed.same, units, listed.groups)


def compare_all(embeddings: np.ndarray, names: np.ndarray, groups: np.ndarray) -> Comparisons:
    """Compare every photo with every other one.

    Args:
        embeddings: (F, D) unit vectors, NaN where a photo has none.
        names: (F,) who is on it.
        groups: (F,) of the people.
    """
    first, second = np.triu_indices(len(embeddings), 1)
    units = numbers(names)[np.stack([first, second], axis=1)]
    group = numbers(groups)
    similarity = (embeddings @ embeddings.T)[first, second]
    shared = np.where(group[first] == group[second], groups[first], "")
    return Comparisons(similarity, units[:, 0] == units[:, 1], units, shared)


def halves(photos: FacePhotos, embeddings: np.ndarray) -> tuple[Comparisons, Comparisons]:
    """Return the pairs to fit to and those to check on; see `calibrate.calibrate`."""
    if photos.names is None:
        pairs, files = compare_listed(embeddings, photos), np.array(photos.files)
        pair_names = zip(files[photos.pairs.first], files[photos.pairs.second], strict=True)
        half = second_half(list(map("\n".join, pair_names)))
        return pairs.keep(~half), pairs.keep(half)
    names, groups = photos.names, photos.groups
    first, second = (
        compare_all(embeddings[part], names[part], groups[part]) for part in split_people(names, photos.files)
    )
    return first, second


def split_people(names: np.ndarray, files: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return two masks (F,) that share nobody: the photos to fit to and those to check on."""
    kept, second = few_of_each(names, files, MAX_PHOTOS_EACH), second_half(names)
    parts = kept & ~second, kept & second
    for part in parts:
        part[part] = some_people(names[part])
    return parts


def some_people(names: np.ndarray, most: int = MAX_PHOTOS) -> np.ndarray:
    """Return an (F,) mask of at most so many photos: all of some people, chosen by a fixed rule."""
    counts = dict(zip(*np.unique(names, return_counts=True), strict=True))
    order = _shuffled(counts)
    fits = np.cumsum([counts[name] for name in order]) <= most
    return np.isin(names, list(compress(order, fits)))


def few_of_each(names: np.ndarray, files: Sequence[str], most: int) -> np.ndarray:
    """Return an (F,) mask of at most so many photos of each person, chosen by a fixed rule."""
    order = np.argsort([share_of(file, 1 << 62) for file in files], kind="stable")
    chosen = np.zeros(len(files), bool)
    for name in np.unique(names):
        chosen[order[names[order] == name][:most]] = True
    return chosen


def second_half(names: Sequence[str] | np.ndarray) -> np.ndarray:
    """Return an (n,) mask of every second name, in an order that is pseudorandom but fixed."""
    chosen = set(_shuffled(set(names))[1::2])
    return np.array([name in chosen for name in names])


def numbers(names: np.ndarray) -> np.ndarray:
    """Return (F,) int32 numbers of names, from 0 in the order of the names."""
    return np.unique(names, return_inverse=True)[1].astype(np.int32)


def share_of(name: str, parts: int) -> int:
    """Return a pseudorandom but fixed number below `parts` for a name."""
    return int.from_bytes(hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:8]) % parts


def _shuffled(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: share_of(name, 1 << 64))


def _read_people(data: Path, split: str | None) -> FacePhotos:
    portraits = load_identities(data)
    groups = ("" for _ in portraits) if data.is_dir() else (row.get("group") or "" for row in read_table(data, COLUMNS))
    found = {portrait.split for portrait in portraits}
    split = split or next((name for name in SPLITS if name in found), None)
    chosen = [(portrait, group) for portrait, group in zip(portraits, groups, strict=True)
              if portrait.identity and split in (None, portrait.split)]  # fmt: skip
    _check_people([portrait.identity for portrait, _ in chosen], f"{data}{f', split {split}' if split else ''}")
    return FacePhotos(
        tuple(portrait.file for portrait, _ in chosen),
        tuple(portrait.path for portrait, _ in chosen),
        np.array([portrait.identity for portrait, _ in chosen]),
        np.array([group for _, group in chosen]),
    )


def _check_people(names: Iterable[str], source: str) -> None:
    if len(set(names)) < 2:
        raise DataError(f"{source}: names fewer than two people, so there is nobody to compare with")


def _read_list(path: Path, images: Path) -> FacePhotos:
    rows = read_table(path, LISTED)
    for number, row in enumerate(rows, start=2):
        if not row["file_b"] or flag(row["same"]) is None:
            raise DataError(f"{path}: row {number} is not a pair; file_b must name a photo and same must be 0 or 1")
    pairs = [(row["file_a"], row["file_b"]) for row in rows]
    same = np.array([flag(row["same"]) for row in rows], bool)
    files = tuple(dict.fromkeys(file for pair in pairs for file in pair))
    place = {file: i for i, file in enumerate(files)}
    people = _people(path, rows, pairs, same)
    folds_given = "fold" in rows[0]
    if folds_given:
        folds = np.repeat(numbers(np.array([row["fold"] for row in rows]))[:, None], 2, axis=1)
        if not folds.any():
            raise DataError(f"{path}: column fold is the same in all rows; name at least two folds, or leave it out")
    else:  # drawn by person where people are known, otherwise by pair
        drawn = [[people[file] for file in pair] if people else ["\n".join(pair)] * 2 for pair in pairs]
        folds = np.array([[share_of(name, FOLDS) for name in names] for names in drawn])
    first, second = (np.array([place[pair[side]] for pair in pairs]) for side in (0, 1))
    groups = np.array([row.get("group") or "" for row in rows])
    listed = PairList(first, second, same, folds, folds_given, groups)
    names = np.array([people[file] for file in files]) if people else None
    return FacePhotos(files, tuple(images / file for file in files), names, np.full(len(files), ""), listed)


def _people(
    path: Path, rows: Sequence[dict[str, str]], pairs: Sequence[tuple[str, str]], same: np.ndarray
) -> dict[str, str] | None:
    """Return who is on each photo, by file: as the list says, or else the folder, if no pair contradicts that; or None.

    Raises:
        DataError: The list contradicts itself.
    """
    said = {"identity_a", "identity_b"} <= rows[0].keys()
    people: dict[str, str] = {}
    for number, (row, pair, is_same) in enumerate(zip(rows, pairs, same, strict=True), start=2):
        names = (row["identity_a"], row["identity_b"]) if said else tuple(str(Path(file).parent) for file in pair)
        for file, name in zip(pair, names, strict=True):
            if said and (not name or people.get(file, name) != name):
                raise DataError(f"{path}: row {number} gives {file} {'another' if name else 'no'} identity")
            people[file] = name
        if (names[0] == names[1]) != is_same:
            if said:
                raise DataError(f"{path}: row {number} contradicts itself; see its identities and its 'same'")
            return None
    return people
