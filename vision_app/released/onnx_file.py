"""A whole model as one ONNX file: the network, and behind it `model.json` in the file's metadata.

The metadata comes last, so that the file's first bytes are the network alone, and `model.json` can hold their digest.
`onnx` is imported only when it is used.
"""

import hashlib
import json
from typing import Any

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
    from onnx import ModelProto

    try:
        model = ModelProto.FromString(content)
    except Exception as error:  # Protobuf's own, and only onnx depends on Protobuf
        raise ValueError("not an ONNX file, or a damaged one") from error
    texts = {entry.key: entry.value for entry in model.metadata_props}
    if KEY not in texts:
        raise ValueError(f"has no {KEY} in its metadata; only files that `vision-app export` wrote do")
    try:
        info: dict[str, Any] = json.loads(texts[KEY])
    except ValueError as error:
        raise ValueError(f"{KEY} in its metadata cannot be read ({error})") from error
    return info
