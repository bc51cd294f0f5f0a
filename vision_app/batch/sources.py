"""Which files a command reads: files, folders and glob patterns become one list in a fixed order."""
# Paths stay as the user wrote them, and pathlib would tidy them up:
# ruff: noqa: PTH110, PTH112, PTH114, PTH118, PTH119, PTH120, PTH122, PTH206, PTH208

import fnmatch
import glob
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from vision_app.core.errors import UsageError, nearest
from vision_app.core.several import several

_RUNS_WITH_IMAGES = "detections", "faces", "styles", "comparison"  # what their journals are called


@dataclass(frozen=True, slots=True)
class Input:
    """One thing to read; it gets exactly one row.

    Attributes:
        file: The path as given, joined with the path inside it.
        name: Relative path, without `..`, for what is made from it; no other input of the list has the same. Empty
            where nothing is made.
        problem: Why it cannot even be opened (a folder that cannot be listed), or None.
    """

    file: str
    name: str
    problem: str | None = None


def list_inputs(
    sources: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    suffixes: Collection[str],
    output: str | os.PathLike[str],
    named: bool = True,
    made: str = "",
) -> tuple[list[Input], int, list[str], int]:
    """List what the sources stand for, source after source.

    - A **file** is listed whatever its suffix. A missing file with a known suffix is listed too: reading it says why.
    - A **folder** stands for the files with a known suffix anywhere below it, in the byte order of their paths. Hidden
      files and folders, links to folders and everything under `output` are left out.
    - A **glob pattern** (`*`, `?`, `[...]`, and `**` for any depth) stands for the files with a known suffix among its
      matches and in the folders among its matches, in byte order, each once. Behind its first wildcard it leaves out
      what a folder leaves out. Brackets also stand for themselves, as in the name of a folder.

    Images that an earlier run wrote, such as annotated copies, are left out of folders and patterns. A file that two
    sources name is listed twice.

    Args:
        sources: One or several paths and patterns.
        suffixes: Known suffixes in lower case, with the dot; a file's own may be in any case.
        output: The folder that the command writes to.
        named: Whether to give the inputs names, which take memory.
        made: Suffix of the files that are made from the inputs.

    Returns:
        The inputs, the number of other files (of no known suffix) in folders and patterns, the sources without any
        input, and the number of images of earlier runs.

    Raises:
        UsageError: A source is neither a file, a folder nor a pattern, or a folder to search lies in `output`.
    """
    known = tuple(suffixes)
    given, output = os.fspath(output), os.path.realpath(output)
    names = Names(made)
    inputs, others, empty, copies = [], 0, [], 0
    holds_run = cache(_holds_run)
    for source in [os.fspath(source) for source in several(sources)]:
        is_pattern = glob.has_magic(source)
        searched = source if os.path.isdir(source) else _fixed_part(source) if is_pattern else None
        if searched is not None and _is_under(searched or os.curdir, output):
            raise UsageError(f"--output {given}: contains the source {source}; choose a separate output folder")
        if os.path.isdir(source):
            base, found = source, dict(_walk(source, output))
        elif os.path.lexists(source) or (source.lower().endswith(known) and not is_pattern):
            inputs.append(Input(source, names.claim(os.path.basename(source)) if named else ""))
            continue
        elif is_pattern:
            base, found = _fixed_part(source), dict(_matches(source, output))
        else:
            raise UsageError(_no_such_source(source))
        before = len(inputs)
        for file in sorted(found, key=os.fsencode):
            if found[file] is None and _is_copy(file, base, known, holds_run):
                copies += 1
            elif found[file] or file.lower().endswith(known):
                name = names.claim(os.path.relpath(file, base or os.curdir)) if named else ""
                inputs.append(Input(file, name, found[file]))
            else:
                others += 1
        if len(inputs) == before:
            empty.append(source)
    return inputs, others, empty, copies


def _walk(folder: str, output: str) -> Iterator[tuple[str, str | None]]:
    """Yield the path of every file below `folder`, with None, and of every folder that cannot be listed, with why."""
    if _is_under(folder, output):
        return
    try:
        with os.scandir(folder or os.curdir) as found:
            entries = list(found)
    except OSError as error:
        yield folder, f"the folder cannot be listed: {error.strerror}"
        return
    for entry in entries:
        path = os.path.join(folder, entry.name)
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path, output)
        elif not os.path.isdir(path):  # entry.is_dir() raises on a link to itself
            yield path, None


def _matches(pattern: str, output: str) -> Iterator[tuple[str, str | None]]:
    """Yield what `_walk` yields for the files and folders that match `pattern`."""
    for path in _expand(pattern):
        if not os.path.isdir(path or os.curdir):
            if not _is_under(path, output):
                yield path, None
        elif not os.path.islink(path):
            yield from _walk(path, output)


def _expand(pattern: str) -> Iterator[str]:
    """Yield the paths that match, links to folders left out; `glob` would go in circles where they do."""
    parent, part = os.path.split(pattern)
    if not glob.has_magic(pattern):
        yield pattern
        return
    for folder in _expand(parent):
        if not os.path.isdir(folder or os.curdir) or (glob.has_magic(parent) and os.path.islink(folder)):
            continue
        if part == "**":
            yield from _folders(folder)
        elif glob.has_magic(part):
            hidden, names = part.startswith("."), _names_in(folder)
            for name in {*fnmatch.filter(names, part), *fnmatch.filter(names, part.replace("[", "[[]"))}:
                if hidden or not name.startswith("."):
                    yield os.path.join(folder, name)
        elif os.path.lexists(path := os.path.join(folder, part)):
            yield path


def _folders(folder: str) -> Iterator[str]:
    """Yield a folder and all folders below it but hidden and linked ones, each with a slash at its end."""
    yield os.path.join(folder, "")
    for name in _names_in(folder):
        path = os.path.join(folder, name)
        if not name.startswith(".") and os.path.isdir(path) and not os.path.islink(path):
            yield from _folders(path)


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder or os.curdir)
    except OSError:
        return []


def _fixed_part(pattern: str) -> str:
    """Return the folder in front of the first wildcard; "" is the working directory."""
    while glob.has_magic(pattern) and not os.path.isdir(pattern):
        pattern = os.path.dirname(pattern)
    return pattern


def _is_copy(path: str, base: str, known: tuple[str, ...], holds_run: Callable[[str], bool]) -> bool:
    """Return whether a run in `base` or below wrote an image.

    In the folder of the run, that is `images/photo.png.jpg`, the same in `thumbnails/`, or `photo.png__style.png` with
    its previews.
    """
    stem, suffix = os.path.splitext(path)
    annotated, stylized = suffix == ".jpg" and stem.lower().endswith(known), suffix == ".png" and "__" in stem
    if not (annotated or stylized):
        return False
    parts = os.path.relpath(path, base or os.curdir).split(os.sep)
    for depth, part in enumerate(parts):
        copied = annotated and part in ("images", "thumbnails")
        painted = stylized and ("__" in parts[-1] or (part == "previews" and "__" in parts[-2]))
        if (copied or painted) and holds_run(os.path.join(base, *parts[:depth])):
            return True
    return False


def _holds_run(folder: str) -> bool:
    return any(os.path.exists(os.path.join(folder, f"{name}.settings.json")) for name in _RUNS_WITH_IMAGES)


def _is_under(path: str, folder: str) -> bool:
    real = os.path.realpath(path)
    return real == folder or real.startswith(os.path.join(folder, ""))


def _no_such_source(source: str) -> str:
    """Say that there is nothing by this name, with the nearest name that is there."""
    parent, name = os.path.split(source.rstrip(os.sep))
    siblings = os.listdir(parent or os.curdir) if os.path.isdir(parent or os.curdir) else []
    guess = nearest(name, siblings)
    hint = f"; did you mean {os.path.join(parent, guess)!r}?" if guess else ""
    return f"source {source!r}: no such file or folder{hint}"


class Names:
    """Gives out relative paths for files to be made, each only once: the second `a.png` becomes `a.png-2`.

    No file takes the place of a folder that another one needs: of `a.png` and `a.png.jpg/b.png`, whose copies end in
    `.jpg`, the second one becomes `a.png.jpg-2/b.png`.

    Args:
        suffix: What the names of the files have behind the names given out.
    """

    def __init__(self, suffix: str = "") -> None:
        self._suffix = suffix
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._uses: dict[str, int] = {}

    def claim(self, wanted: str) -> str:
        """Return `wanted` without `..`, with numbers behind those of its parts that are taken."""
        *folders, last = [part for part in wanted.split(os.sep) if part != os.pardir]
        parent = ""
        for part in folders:
            wanted = parent = os.path.join(parent, part)
            number = 1
            while parent in self._files:
                number += 1
                parent = f"{wanted}-{number}"
            self._folders.add(parent)
        wanted = name = os.path.join(parent, last)
        while name + self._suffix in self._files or name + self._suffix in self._folders:
            self._uses[wanted] = self._uses.get(wanted, 1) + 1
            name = f"{wanted}-{self._uses[wanted]}"
        self._files.add(name + self._suffix)
        return name
