"""Attacks with files that others made: models, data sets, photos and journals; and on processes that are started."""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from attacks import Trial, vision_app
from vision_app import Gallery
from vision_app.core.errors import ImageError, VisionAppError
from vision_app.core.images import read_image, read_size
from vision_app.detection.load import load_detector
from vision_app.released.find import find

STRANGE: list[Any] = [
    None,
    True,
    -1,
    0,
    10**9,
    2.5,
    float("nan"),
    "",
    "x" * 5000,
    [],
    [[]],
    {},
    [None] * 3,
    "../x",
    "é",
]


def malformed_models(folder: Path) -> Iterator[Trial]:
    """Change a value of model.json, or leave it out, and load the model on torch."""
    released = find("yolo")
    shutil.copytree(released.folder, folder / "model")
    for path in _paths({key: value for key, value in released.info.items() if key not in ("measured", "trained")}):
        for value in [*STRANGE, "left out"]:
            info = deepcopy(released.info)
            _change(info, path, value)
            (folder / "model" / "model.json").write_text(json.dumps(info), encoding="utf-8")
            yield Trial(f"{'.'.join(map(str, path))} = {str(value)[:20]}", _is_refused_or_works(folder / "model"))


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where values are in JSON: of a list, only the first one."""
    if path:
        yield path
    places = value if isinstance(value, dict) else range(min(len(value), 1)) if isinstance(value, list) else ()
    for place in places:
        yield from _paths(value[place], (*path, place))


def _change(info: Any, path: tuple[Any, ...], value: Any) -> None:
    for place in path[:-1]:
        info = info[place]
    if value == "left out":
        del info[path[-1]]
    else:
        info[path[-1]] = value


def _is_refused_or_works(model: Path) -> bool:
    """Return whether a model is refused, or finds classes of its own, with probabilities and boxes in the photo."""
    try:
        detector = load_detector(str(model), runtime="torch", device="cpu")
        found = detector(_photo(64, 64), confidence=0.001)
    except VisionAppError:
        return True
    except Exception:
        return False
    numbers = np.concatenate([found.boxes.ravel() / 64, found.scores])
    return bool(((numbers >= 0) & (numbers <= 1)).all()) and set(found.labels) <= set(detector.classes)


def weights_outside_of_digests(folder: Path) -> Iterator[Trial]:
    """Keep weights of an ONNX file in a file that no digest covers."""
    import hashlib

    import onnx

    for place in ("w.bin", "../w.bin", "/etc/hostname"):
        model = folder / f"model {place.replace('/', '_')}"
        shutil.copytree(find("yolo").folder, model)
        network = onnx.load(model / "model.onnx")
        tensor = next(one for one in network.graph.initializer if len(one.raw_data) > 100)
        (model / "w.bin").write_bytes(tensor.raw_data)
        (folder / "w.bin").write_bytes(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=place)
        content = network.SerializeToString()
        (model / "model.onnx").write_bytes(content)
        info = json.loads((model / "model.json").read_text(encoding="utf-8"))
        info["files"]["model.onnx"] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        (model / "model.json").write_text(json.dumps(info), encoding="utf-8")
        for words in (["models", "verify", model], ["detect", "x.png", "--model", model, "--output", folder / "out"]):
            code, printed = vision_app(*words)
            yield Trial(f"{place}, {words[0]}", code not in (0, None) and "no digest covers" in printed)


def descriptions_of_data(folder: Path) -> Iterator[Trial]:
    """Describe a data set by YAML or JSON that is small and stands for much, or is nested without an end."""
    bomb = "a0: &a0 [lol,lol,lol,lol,lol,lol,lol,lol,lol,lol]\n" + "".join(
        f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
    )
    texts = {
        "names.yaml": bomb + "train: images\nnames: [*a8]\n",
        "path.yaml": bomb + "train: images\npath: *a8\nnames: [a]\n",
        "train.yaml": bomb + "train: *a8\nnames: [a]\n",
        "circle.yaml": "names: &a [*a]\ntrain: images\n",
        "count.yaml": "nc: 2000000000\ntrain: images\n",
        "deep.yaml": "names: " + "[" * 50_000,
        "number.yaml": "nc: 1" + ":1" * 100_000 + "\ntrain: images\n",
        "deep.json": "[" * 500_000,
        "object.json": '{"images":' * 100_000,
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
        start = time.process_time()
        code, printed = vision_app("check", "--data", folder / name, "--output", folder / "out")
        is_short = len(printed) < 1000 and printed.count("\n") <= 1
        yield Trial(name, code in (1, 2) and is_short and time.process_time() - start < 20)


def files_without_an_end(folder: Path) -> Iterator[Trial]:
    """Give a device, a pipe, a sparse giant or an endless name for a photo, data set, model, journal or gallery."""
    os.mkfifo(folder / "pipe")
    _photo_file(folder / "photo.png")
    with (folder / "sparse").open("wb") as file:
        file.truncate(3_000_000_000)
    for name in ("/dev/zero", folder / "pipe", folder / "sparse", None):
        for suffix in (".jpg", ".json", ".yaml", ".onnx", ".jsonl", ".db"):
            link = folder / f"link{suffix}"
            link.unlink(missing_ok=True)
            if name is None:
                link = folder / ("x" * 5000 + suffix)
            else:
                link.symlink_to(name)
            out = ["--output", folder / "out", "--overwrite"]
            words = {
                ".jpg": ["detect", link, *out],
                ".onnx": ["models", "verify", link],
                ".jsonl": ["evaluate", "detector", "--rows", link, "--data", folder / "none.json", "--output", folder],
                ".db": ["faces", "enroll", "Ada", folder / "photo.png", "--gallery", link],
            }.get(suffix, ["check", "--data", link, "--output", folder / "out"])
            done = subprocess.run(_command(*words), capture_output=True, timeout=60, check=False)
            held = done.returncode in (1, 2) and b"Traceback" not in done.stderr
            yield Trial(f"{suffix} is {name or 'a name of 5,000 characters'}", held)
    for end in ("index", "audit.jsonl"):
        with Gallery.open(folder / f"{end}.db", create=True):
            os.mkfifo(folder / f"{end}.db.{end}", 0o600)
    verbs: dict[str, list[object]] = {"index": ["check"], "audit.jsonl": ["export", folder / "people.jsonl"]}
    for end, verb in verbs.items():
        done = subprocess.run(
            _command("faces", *verb, "--gallery", folder / f"{end}.db"), capture_output=True, timeout=60, check=False
        )
        yield Trial(f".{end} of a gallery is a pipe", done.returncode == 1 and b"Traceback" not in done.stderr)


def slow_and_large_photos(folder: Path) -> Iterator[Trial]:
    """Read small files of photos that take long or much memory to decode."""
    chunk = b"\0\0\0\0abCd" + zlib.crc32(b"abCd").to_bytes(4)
    header = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\r" + header + zlib.crc32(header).to_bytes(4)
    files = {
        "900 megapixels.png": start + b"\0\0\0\0IDAT",
        "chunks.png": start.replace(struct.pack(">II", 30_000, 30_000), struct.pack(">II", 8, 8)) + chunk * 2_000_000,
        "junk.jpg": b"\xff\xd8\xff" + bytes(50_000_000),
        "filling.jpg": b"\xff\xd8" + b"\xff" * 50_000_000,
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
        for read in (read_size, read_image):
            begin = time.process_time()
            try:
                read(folder / name)
                held = read is read_size
            except ImageError:
                held = True
            yield Trial(f"{name}, {read.__name__}", held and time.process_time() - begin < 10)


def processes_left_behind(folder: Path) -> Iterator[Trial]:
    """End a comparison while it measures: no process of it is left."""
    _photo_file(folder / "a.png")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background has it ignored, also below
    for signals in ([signal.SIGKILL], [signal.SIGTERM], [signal.SIGINT], [signal.SIGINT, signal.SIGINT]):
        for pause in (1.0, 3.0, 5.0):
            words = ["compare", folder / "a.png", "--models", "yolo", "--tta", "--output", folder / f"{pause}{signals}"]
            parent = subprocess.Popen(
                _command(*words), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
            )
            time.sleep(pause)
            for each in signals:
                parent.send_signal(each)
            parent.wait(60)
            time.sleep(1)
            left = _alive_in_session(parent.pid)
            for process in left:
                os.kill(process, signal.SIGKILL)
            yield Trial(f"{[each.name for each in signals]} after {pause} s", not left)


def a_full_disk(folder: Path) -> Iterator[Trial]:
    """Write the standard output to a device that is full."""
    for words in (["models", "list"], ["models", "info", "yolo"], ["--help"], ["faces", "--help"]):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(_command(*words), stdout=full, stderr=subprocess.PIPE, check=False)
        yield Trial(" ".join(words), done.returncode == 1 and done.stderr.count(b"\n") == 1)


def _alive_in_session(session: int) -> list[int]:
    """Return the processes of a session, without those that ended and that nobody waits for."""
    listed = subprocess.run(["ps", "-o", "pid=,stat=", "-s", str(session)], capture_output=True, text=True, check=False)
    return [int(pid) for pid, state in map(str.split, listed.stdout.splitlines()) if not state.startswith("Z")]


def _command(*words: object) -> list[str]:
    return [sys.executable, "-m", "vision_app", *map(str, words)]


def _photo(width: int, height: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def _photo_file(path: Path) -> None:
    from vision_app.core.images import write_image

    write_image(path, _photo(640, 480))
