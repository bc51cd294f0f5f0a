"""A whole model as one ONNX file: the network, and behind it `model.json` in the file's metadata.

The metadata comes last, so that the file's first bytes are the network alone, and `model.json` can hold their digest.
`onnx` is imported only when it is used.
"""

import hashlib
import json

NETWORK = "model.onnx"  # what model.json's "files" calls the network
KEY = "model.json"  # of the metadata


def pack(network: bytes, info: dict, **texts: str) -> bytes:
    """Puts `model.json` behind an ONNX network, in the place of any metadata that it had.

    Args:
        network: an ONNX file's content.
        info: the content of `model.json`; its "files" are replaced by the one network and its digest.
        **texts: more metadata, such as the license.
    """
    from onnx import ModelProto, StringStringEntryProto

    model = ModelProto.FromString(network)
    del model.metadata_props[:]
    bare = model.SerializeToString(deterministic=True)
    entry = {"sha256": hashlib.sha256(bare).hexdigest(), "bytes": len(bare)}
    texts = {KEY: json.dumps(info | {"files": {NETWORK: entry}}, ensure_ascii=False), **texts}
    metadata = [StringStringEntryProto(key=key, value=text) for key, text in texts.items()]
    return bare + ModelProto(metadata_props=metadata).SerializeToString()  # messages in a row are one message


def unpack(content: bytes) -> dict:
    """The `model.json` in an ONNX file.

    Raises:
        ValueError: the content is no ONNX file, or carries no such thing; says so.
    """
    from onnx import ModelProto

    try:
        model = ModelProto.FromString(content)
    except Exception as error:  # Protobuf's own, and only onnx depends on Protobuf
        raise ValueError("no ONNX file, or a damaged one") from error
    texts = {entry.key: entry.value for entry in model.metadata_props}
    if KEY not in texts:
        raise ValueError(f"carries no {KEY} in its metadata; only files that `vision-app export` wrote do")
    try:
        return json.loads(texts[KEY])
    except ValueError as error:
        raise ValueError(f"{KEY} in its metadata cannot be read ({error})") from error
