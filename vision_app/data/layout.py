"""Where the files of a set are: photos below a folder, and photos that a set names as they were on another machine."""

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from vision_app.core.errors import DataError
from vision_app.core.images import SUFFIXES
from vision_app.data.scan_report import ScanReport

_OF_ANNOTATIONS = {"annotation", "annotations", "ann", "label", "labels", "json"}  # folders beside those of images
_SPLIT = re.compile(  # in the names of folders and files
    "(?<![a-z])(train|training|trainval|val|valid|validation|minival|test|testing)(?=imag|img|photo|set|data|[^a-z]|$)"
)
_TOO_GENERAL = {"images", "photos"}  # what many folders are called


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is no part of a set: hidden, or what Macs add to archives."""
    return name.startswith(".") or name == "__MACOSX"


def is_leftover(path: str) -> bool:
    """Return whether a path, with slashes of any system, is of a file that Macs add to archives."""
    *folders, name = path.replace("\\", "/").split("/")
    return name.startswith("._") or "__MACOSX" in folders


def files_below(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Return the files with a suffix, in any case, below a folder and folders that are linked there, sorted by path."""
    found, seen = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link that goes in a circle
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not is_hidden(name)]
        files = [Path(place, name) for name in names if not is_hidden(name)]
        found += [file for file in files if file.suffix.lower() in suffixes and file.is_file()]
    return sorted(found)


def relocated(name: str, roots: Sequence[Path]) -> Path | None:
    """Return what a path names below one of the folders, though it may have been written elsewhere.

    That is the path itself; or the same with the slashes of this system; or else the longest end of it that exists.
    """
    for part in _ends(name):
        for root in roots:
            if (root / part).exists():
                return root / part
    return None


def _ends(name: str) -> Iterator[str]:
    """Yield a path and its ends, from the longest to its last part."""
    yield name
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    shortest = 2 if parts[-1:] and parts[-1] in _TOO_GENERAL else 1
    yield from ("/".join(parts[start:]) for start in range(max(1, len(parts) - shortest + 1)))


def found_name(name: str, path: Path) -> str:
    """Return what a set calls an image: the name that it gives, or the end of it that led to where the image is."""
    if path.as_posix().endswith(name.replace("\\", "/").removeprefix("./")):
        return name
    return next((part for part in _ends(name) if path.as_posix().endswith(f"/{part}")), path.name)


def _splits(name: str) -> set[str]:
    """Return the splits that a name in lower case mentions."""
    words = set(_SPLIT.findall(name))
    return {split for split in ("train", "val", "test") if any(split in word for word in words)}


class ImageFolders:
    """Finds the images that a file of annotations names.

    Args:
        roots: Folders to which its names may be relative.
        nearby: Folders whose sub-folders may have the images: those called like the file, such as train2017 of
            instances_train2017, or else any but those called like another split.
        stem: The file's name without its suffix.
        given: Folders that the user names, searched first, with all their sub-folders.
    """

    def __init__(
        self, roots: Sequence[Path], *, nearby: Sequence[Path] = (), stem: str = "", given: Sequence[Path] = ()
    ):
        self.roots, self.given = tuple(dict.fromkeys(roots)), tuple(given)
        self._nearby, self._stem = tuple(dict.fromkeys(nearby)), stem.lower()
        self._listings: dict[Path, dict[str, list[Path]]] = {}  # files by name in lower case

    @classmethod
    def of_json(cls, path: Path, given: Sequence[Path] = ()) -> "ImageFolders":
        """Return where the images of a COCO file may be: in and beside its folder, and above one of annotations."""
        folder, (own, above, top) = path.parent, [*path.absolute().parents, Path("/"), Path("/")][:3]
        roots, nearby = [folder / "images", folder, above / "images"], [folder, folder / "images", above / "images"]
        for place, parent in ((own, above), (above, top)):
            if place.name.lower() in _OF_ANNOTATIONS:
                roots, nearby = [*roots, parent / "images", parent], [*nearby, parent / "images", parent]
        return cls(roots, nearby=nearby, stem=path.stem, given=given)

    def find(self, name: str, report: ScanReport) -> Path:
        """Return the image of a name; report where the end of a path alone leads to it, or nothing names its folder.

        One whose name differs in upper and lower case alone is taken where there is no other, which is reported.

        Raises:
            DataError: It is in none of the folders, or in several and nothing tells which.
        """
        found = relocated(name, self.given) or self._only(name, self._by_name)
        found, named = found or relocated(name, self.roots), True
        if not found:
            found, named = self._beside(name)
        if not found and (found := self._in_other_case(name)):
            report.count("photo named in another case", f"{found} for {name}")
            return found
        if found and found.is_file():
            if not named or found_name(name, found) != name:
                report.count("photo found elsewhere", f"{found} for {name}")
            return found
        looked = [*self.given, *self.roots]
        places = " nor in ".join(map(str, looked[:2]))
        raise DataError(f"{name} is neither in {places}; --images names the folder that has it")

    def _only(self, name: str, places: dict[str, list[Path]]) -> Path | None:
        found = places.get(name.replace("\\", "/").rpartition("/")[2], [])
        return self._single(name, found)

    def _single(self, name: str, found: Sequence[Path]) -> Path | None:
        """Return the only file that was found, None for none; raise DataError for several."""
        if len({file.resolve() for file in found}) > 1:
            raise DataError(f"{name} may be {found[0]} or {found[1]}; --images names the folder that has it")
        return found[0] if found else None

    def _in_other_case(self, name: str) -> Path | None:
        """Return the image whose name differs in upper and lower case alone, such as p0.jpg for p0.JPG."""
        for part in _ends(name):
            found = [file for root in (*self.given, *self.roots) for file in self._spellings(root / part)]
            if found:
                return self._single(name, found)
        return None

    def _spellings(self, path: Path) -> list[Path]:
        """Return the files of a folder that are called like a path in any case."""
        folder = path.parent
        if folder not in self._listings:
            names: defaultdict[str, list[Path]] = defaultdict(list)
            for file in folder.iterdir() if folder.is_dir() else ():
                names[file.name.lower()].append(file)
            self._listings[folder] = dict(names)
        return [file for file in self._listings[folder].get(path.name.lower(), []) if file.is_file()]

    def _beside(self, name: str) -> tuple[Path | None, bool]:
        """Return the image in one of the sub-folders, and whether the file or the name mentions this folder."""
        parts = name.lower().replace("\\", "/").split("/")[:-1]
        mentioned = _splits("/".join([self._stem, *parts]))
        for rank, places in self._folders:
            fitting = [one for one in places if rank or _splits(one.name.lower()) <= mentioned or not mentioned]
            for part in list(_ends(name))[1:]:
                if file := self._single(name, [one / part for one in fitting if (one / part).is_file()]):
                    own = next(one.name.lower() for one in fitting if file.is_relative_to(one))
                    return file, bool(rank or own in parts or _splits(own) & mentioned)
        return None, False

    @cached_property
    def _folders(self) -> list[tuple[int, list[Path]]]:
        """The sub-folders that are called like the file by how much they are, the best first; or else all, by 0."""
        every = [
            place
            for folder in self._nearby
            if folder.is_dir()
            for place in sorted(folder.iterdir())
            if place.is_dir() and not is_hidden(place.name)
        ]
        ranks = defaultdict(list)
        for place in every:
            ranks[self._rank(place.name.lower())].append(place)
        return sorted(((rank, ranks[rank]) for rank in ranks if rank), reverse=True) or [(0, every)]

    def _rank(self, name: str) -> int:
        """Return how much of a folder's name is that of the file, twice that for all of it; 0 for another name."""
        alike = len(name) > 2 and (name in self._stem or self._stem in name)
        return alike * min(len(name), len(self._stem)) * (1 + (name == self._stem))

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        """All images below the given folders, by the last part of their paths."""
        found = defaultdict(list)
        for folder in self.given:
            for file in files_below(folder, SUFFIXES):
                found[file.name].append(file)
        return found
