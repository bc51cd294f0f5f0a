"""A gallery's people as one file of JSON lines: to keep, to move, or to hand to somebody who asks what is known.

The first line says what the file is: `format`, `version`, `contract`. Each of the others is one photo: `name`,
`source` (SHA-256, hexadecimal), `box`, `landmarks`, `quality`, `consent`, `added`, and in base64 the `embedding`
(float32, little-endian) and the `crop` (PNG, or null).
"""

import json
import math
import os
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vision_app.core.errors import DataError, GalleryError, ImageError, UsageError
from vision_app.core.files import OWNER_ONLY, atomic_write
from vision_app.core.images import read_image
from vision_app.faces.align import SIDE
from vision_app.faces.gallery.results import ACCEPTED, ALREADY_ENROLLED, SOMEONE_ELSE, Enrollment, Sample, checked_name
from vision_app.faces.gallery.store import EMBEDDING, to_blob
from vision_app.faces.quality import Quality

if TYPE_CHECKING:
    from vision_app.faces.gallery.gallery import Gallery

FORMAT, VERSION = "vision-app gallery", 1


def export(gallery: "Gallery", path: Path, names: Iterable[str] | None) -> int:
    """Writes people to a file that only its owner may read; see `Gallery.export`."""
    if os.path.lexists(path):
        raise UsageError(f"{path}: is there already and will not be overwritten; choose another name")
    store, photos = gallery.store, 0
    try:
        with store.unchanging():  # the photos are of the model that the first line names
            people = store.people() if names is None else dict.fromkeys(store.person(name) for name in names)
            if len(store.contracts) > 1:
                raise GalleryError(f"{gallery.path}: embeddings of several models; `vision-app faces check` tells more")
            gallery.audit.write("export", (person.id for person in people))
            with atomic_write(path, OWNER_ONLY) as temporary, temporary.open("wb") as file:
                file.write(_line({"format": FORMAT, "version": VERSION, "contract": next(iter(store.contracts), None)}))
                for person in people:
                    for sample in store.samples(person.id):
                        file.write(_line(_to_row(person.name, sample)))
                        photos += 1
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from error
    return photos


def import_file(gallery: "Gallery", path: Path) -> list[Enrollment]:
    """Adds what `export` wrote, in one transaction; see `Gallery.import_file`."""
    store, answers, people = gallery.store, [], {}
    try:
        with path.open(encoding="utf-8") as file, store.change() as change:
            for place, (name, sample) in enumerate(_read(file, path), start=2):
                gallery.require(sample.contract)
                owner = store.owner(sample.source)
                file_name = f"{path} line {place}"
                if owner is not None:
                    code = ALREADY_ENROLLED if owner == name else SOMEONE_ELSE
                    answers.append(Enrollment(file_name, name, code, f"enrolled already as {owner}"))
                    continue
                if name not in people:
                    known = store.find(name)
                    people[name] = known.id if known else store.add_person(name)
                store.add_sample(people[name], sample)
                answers.append(Enrollment(file_name, name, ACCEPTED))
            for person in people.values():
                store.update_centroid(person)
            gallery.audit.write("import", people.values())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not an export of a gallery") from error
    gallery.index.follow(change)
    return answers


def _line(row: dict) -> bytes:
    return (json.dumps(row, ensure_ascii=False) + "\n").encode()


def _to_row(name: str, sample: Sample) -> dict:
    return {
        "name": name,
        "source": sample.source.hex(),
        "box": sample.box,
        "landmarks": sample.landmarks,
        "quality": sample.quality,
        "consent": sample.consent,
        "added": sample.added,
        "embedding": b64encode(to_blob(sample.embedding)).decode(),
        "crop": None if sample.crop is None else b64encode(sample.crop).decode(),
    }


def _read(lines: Iterable[str], path: Path) -> Iterator[tuple[str, Sample]]:
    """The name and the sample of each line after the first, all checked.

    Raises:
        DataError: this is no export, or a line is damaged; names it.
    """
    lines = iter(lines)
    try:
        header = json.loads(next(lines, ""))
        is_ours, version, contract = header["format"] == FORMAT, header["version"], header["contract"]
    except (ValueError, TypeError, KeyError):
        is_ours = False
    if not is_ours:
        raise DataError(f"{path}: not an export of a gallery")
    if version != VERSION:
        raise DataError(f"{path}: of version {version!r}, which this version of Vision App does not know")
    size = None
    for place, line in enumerate(lines, start=2):
        try:
            name, sample = _from_row(json.loads(line), contract)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, ImageError, UsageError) as error:
            raise DataError(f"{path}: line {place} is damaged ({error}); nothing was imported") from error
        size = size or sample.embedding.size
        if sample.embedding.size != size:
            raise DataError(f"{path}: line {place} has an embedding of another size; nothing was imported")
        yield name, sample


def _from_row(row: dict, contract: str) -> tuple[str, Sample]:
    crop = None if row["crop"] is None else b64decode(row["crop"], validate=True)
    if crop is not None and read_image(crop, name="crop").pixels.shape != (SIDE, SIDE, 3):
        raise ValueError(f"crop: expected {SIDE} x {SIDE} pixels")
    embedding = np.frombuffer(b64decode(row["embedding"], validate=True), EMBEDDING)
    if not abs(np.linalg.norm(embedding) - 1) < 1e-3:  # not a number is no length either
        raise ValueError("embedding: expected a unit vector")
    source = bytes.fromhex(row["source"])
    if len(source) != 32:
        raise ValueError("source: expected a SHA-256 digest")
    box, landmarks = (np.array(row[key], np.float64) for key in ("box", "landmarks"))
    if box.shape != (4,) or landmarks.shape != (5, 2) or not (np.isfinite(box).all() and np.isfinite(landmarks).all()):
        raise ValueError("box and landmarks: expected 4 and 5 x 2 finite numbers")
    _check_quality(**row["quality"])
    texts = [row[key] for key in ("consent", "added")]
    if not all(isinstance(text, str) for text in (contract, *texts)):
        raise ValueError("contract, consent and added: expected text")
    sample = Sample(0, source, box.tolist(), landmarks.tolist(), row["quality"], embedding, contract, *texts, crop)
    return checked_name(row["name"]), sample


def _check_quality(reasons: list[str], **numbers: float) -> None:
    """Raises ValueError or TypeError unless these are the fields of `Quality`, as JSON has them."""
    Quality(**numbers, reasons=tuple(reasons))
    if not isinstance(reasons, list) or not all(isinstance(reason, str) for reason in reasons):
        raise ValueError("quality: expected reasons as texts")
    if not all(map(math.isfinite, numbers.values())):
        raise ValueError("quality: expected finite numbers")
