"""A whole model as one ONNX file: the network, and behind it `model.json` in the file's metadata.

The metadata comes last, so that the file's first bytes are the network alone, and `model.json` can hold their digest.
`onnx` is imported only when it is used.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from vision_app.core.files import parse_json

# Fields of Protobuf messages, see onnx.proto3: which messages are in a message, and which numbers.
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor"},
}
_NUMBERS = {"attribute": {2: "<f4", 7: "<f4"}, "tensor": {4: "<f4", 10: "<f8"}}
_DATA_TYPE, _INT32_DATA, _RAW_DATA = 2, 5, 9  # of a tensor
_RAW = {1: "<f4", 10: "<f2", 11: "<f8", 14: "<f4", 15: "<f8", 16: "bfloat16"}  # by TensorProto.DataType
_FLOAT8 = range(17, 21)
NETWORK = "model.onnx"  # what model.json's "files" calls the network
KEY = "model.json"  # of the metadata


def entry(content: bytes) -> dict[str, Any]:
    """Return what `model.json` says of a file with this content."""
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def pack(network: bytes, info: dict[str, Any], **texts: str) -> bytes:
    """Append `model.json` to an ONNX network, replacing any metadata that it had.

    Args:
        network: An ONNX file's content.
        info: The content of `model.json`; its "files" are replaced by the one network and its digest.
        **texts: More metadata, such as the license.
    """
    from onnx import ModelProto, StringStringEntryProto

    model = ModelProto.FromString(network)
    del model.metadata_props[:]
    bare: bytes = model.SerializeToString(deterministic=True)
    texts = {KEY: json.dumps(info | {"files": {NETWORK: entry(bare)}}, ensure_ascii=False, allow_nan=False), **texts}
    metadata = [StringStringEntryProto(key=key, value=text) for key, text in texts.items()]
    appended: bytes = ModelProto(metadata_props=metadata).SerializeToString()
    return bare + appended  # messages in a row are one message


def check_network(content: bytes) -> None:
    """Refuse an ONNX file whose weights are elsewhere, where no digest covers them, or are not finite.

    Weights are the floating-point numbers of initializers and of the attributes of nodes, such as constants.

    Raises:
        ValueError: It is so, or not an ONNX file; the message says which.
    """
    if b"location" in content:  # the key by which external data is named; most files are not parsed for it
        _refuse_external_data(content)
    numbers: dict[str, list[memoryview]] = {}
    try:
        for kind, values in _numbers(memoryview(content)):
            numbers.setdefault(kind, []).append(values)
        is_checked = "unchecked" not in numbers
        finite = is_checked and all(_is_finite(b"".join(values), kind) for kind, values in numbers.items())
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError("not an ONNX file, or a damaged one") from error
    if not is_checked:
        raise ValueError("its weights are in float8 or int32_data, which are not supported; save them as raw_data")
    if not finite:
        raise ValueError("its weights are not finite")


def _numbers(content: memoryview) -> Iterator[tuple[str, memoryview]]:
    """Yield type and content of all floating-point numbers of a network: weights, constants, attributes."""
    waiting = [("model", content)]
    while waiting:
        name, message = waiting.pop()
        inside, own, last = _INSIDE.get(name, {}), _NUMBERS.get(name, {}), dict[int, Any]()
        for number, value in _fields(message):
            last[number] = value
            if number in inside:
                waiting.append((inside[number], value))
            elif number in own:
                yield own[number], value
        if name == "tensor":
            kind = last.get(_DATA_TYPE)
            if kind in _FLOAT8 or (kind in _RAW and _INT32_DATA in last):
                yield "unchecked", message
            elif kind in _RAW:
                yield _RAW[kind], last.get(_RAW_DATA, message[:0])


def _is_finite(values: bytes, kind: str) -> bool:
    import numpy as np

    if kind == "bfloat16":
        values, kind = (np.frombuffer(values, "<u2").astype("<u4") << 16).tobytes(), "<f4"  # the upper half of float32
    return bool(np.isfinite(np.frombuffer(values, kind)).all())


def _refuse_external_data(content: bytes) -> None:
    from onnx import TensorProto

    waiting: list[Any] = [_parsed(content)]
    while waiting:
        message = waiting.pop()
        if isinstance(message, TensorProto) and (message.external_data or message.data_location):
            raise ValueError("its weights are in other files, which no digest covers; save it as one file")
        for field, value in message.ListFields():
            if field.message_type is not None:
                waiting += value if field.is_repeated else [value]


def _fields(message: memoryview) -> Iterator[tuple[int, Any]]:
    """Yield number and value of the fields of a Protobuf message, contents by reference.

    `onnx` would do, but its import takes longer than all else that opens a model.
    """
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place)
        kind = key & 7
        if kind == 2:
            size, place = _varint(message, place)
        elif kind == 0:
            value, place = _varint(message, place)
            yield key >> 3, value
            continue
        else:
            size = {1: 8, 5: 4}[kind]
        if place + size > end:
            raise IndexError
        yield key >> 3, message[place : place + size]
        place += size


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    if (byte := message[place]) < 0x80:
        return byte, place + 1
    value = shift = 0
    while True:
        byte = message[place]
        value, place, shift = value | (byte & 0x7F) << shift, place + 1, shift + 7
        if byte < 0x80:
            return value, place
        if shift > 63:
            raise IndexError


def halve(network: bytes) -> bytes:
    """Store the weights of an ONNX network in half precision (IEEE binary16) where that loses nothing.

    Each becomes a constant and a cast to single precision, which ONNX Runtime computes once, when it loads the file.
    Vectors stay as they are.
    """
    import numpy as np
    from onnx import ModelProto, TensorProto, helper, numpy_helper

    model = ModelProto.FromString(network)
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        half = values.astype(np.float16) if values.dtype == np.float32 and values.ndim > 1 else None
        if half is not None and np.array_equal(half.astype(np.float32), values):
            name, stored = tensor.name, f"{tensor.name}.half"
            tensor.CopyFrom(numpy_helper.from_array(half, stored))
            casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    halved: bytes = model.SerializeToString(deterministic=True)
    return halved


def unpack(content: bytes) -> dict[str, Any]:
    """Return the `model.json` in an ONNX file.

    Raises:
        ValueError: The content is not an ONNX file, or has no such metadata; the message says which.
    """
    texts = {entry.key: entry.value for entry in _parsed(content).metadata_props}
    if KEY not in texts:
        raise ValueError(f"has no {KEY} in its metadata; only files that `vision-app export` wrote do")
    try:
        info: dict[str, Any] = parse_json(texts[KEY])
    except ValueError as error:
        raise ValueError(f"{KEY} in its metadata cannot be read ({error})") from error
    return info


def _parsed(content: bytes) -> Any:
    from onnx import ModelProto

    try:
        return ModelProto.FromString(content)
    except Exception as error:  # Protobuf's own, and only onnx depends on Protobuf
        raise ValueError("not an ONNX file, or a damaged one") from error
