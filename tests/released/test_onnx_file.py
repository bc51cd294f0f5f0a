"""One ONNX file as a whole model: what it carries, and that nothing else passes for one."""

import hashlib
import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from vision_app.core.errors import ModelError, UsageError
from vision_app.released.find import find, write_file
from vision_app.released.onnx_file import check_network, entry, halve, pack, unpack

INFO = {
    "name": "double",
    "task": "doubling",
    "classes": ["é", "b"],
    "architecture": {"type": "double"},
    "input": {"size": 2},
    "defaults": {},
}


@pytest.fixture
def network() -> bytes:
    """Gives twice what it gets, and has metadata of its own."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "double", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"model.json": "old", "author": "somebody"})
    return model.SerializeToString()


@pytest.fixture
def folder(tmp_path, network):
    path = tmp_path / "double"
    path.mkdir()
    (path / "model.onnx").write_bytes(network)
    (path / "LICENSE").write_text("Do what you like.\n")
    files = {"model.onnx": {"sha256": hashlib.sha256(network).hexdigest(), "bytes": len(network)}}
    (path / "model.json").write_text(json.dumps(INFO | {"files": files}))
    return path


@pytest.fixture
def file(folder, tmp_path):
    path = tmp_path / "file.onnx"
    write_file(find(folder), path)
    return path


def error_of(path):
    with pytest.raises(ModelError) as error:
        find(path).verify()
    return str(error.value)


def test_other_programs_read_the_metadata(file):
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    texts = {entry.key: entry.value for entry in model.metadata_props}
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == texts
    assert session.run(None, {"x": np.float32([1, 2])})[0].tolist() == [2, 4]
    assert texts.keys() == {"model.json", "LICENSE"} and texts["LICENSE"] == "Do what you like.\n"
    info = json.loads(texts["model.json"])
    assert {key: value for key, value in info.items() if key != "files"} == INFO


def test_the_digest_is_that_of_the_bytes_in_front_of_the_metadata(network):
    packed = pack(network, INFO)
    entry = unpack(packed)["files"]["model.onnx"]
    front = packed[: entry["bytes"]]
    assert entry["sha256"] == hashlib.sha256(front).hexdigest()
    assert onnx.load_from_string(front).graph == onnx.load_from_string(network).graph
    assert not onnx.load_from_string(front).metadata_props


def test_packing_again_replaces_the_metadata(network):
    assert pack(pack(network, {"name": "other"}, NOTE="x"), INFO) == pack(network, INFO)


def test_a_file_is_a_model(file, monkeypatch):
    model = find(file)
    assert (model.name, model.folder, model.task, model.classes) == ("file", file, "doubling", ("é", "b"))
    assert model.file("model.onnx") == file and not model.has("weights.safetensors")
    model.verify()
    monkeypatch.chdir(file.parent)
    for name in ("file.onnx", "./file.onnx"):
        assert find(name).info == model.info


def test_damage_to_the_network_is_always_seen(file):
    content = file.read_bytes()
    size = unpack(content)["files"]["model.onnx"]["bytes"]
    for at in range(size):
        file.write_bytes(content[:at] + bytes([content[at] ^ 8]) + content[at + 1 :])
        assert error_of(file).startswith(f"{file}: ")
    for length in range(0, len(content), 7):
        file.write_bytes(content[:length])
        assert error_of(file).startswith(f"{file}: ")


def test_damage_to_the_metadata_raises_nothing_but_model_errors(file):
    content, refused = file.read_bytes(), 0
    for at in (places := range(unpack(content)["files"]["model.onnx"]["bytes"], len(content))):
        file.write_bytes(content[:at] + bytes([content[at] ^ 8]) + content[at + 1 :])
        try:
            find(file).verify()
        except ModelError:
            refused += 1
    assert refused > len(places) / 4  # what is damaged elsewhere is text such as a license


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has no model.json in its metadata; only files that `vision-app export` wrote do"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "not an ONNX file, or a damaged one"),
        (None, "model.json in its metadata cannot be read"),
    ],
)
def test_a_file_without_our_metadata_is_refused_with_the_reason(tmp_path, network, content, words):
    path = tmp_path / "foreign.onnx"
    path.write_bytes(network if content is None else content)
    assert error_of(path).startswith(f"{path}: {words}")


@pytest.mark.parametrize("key", sorted(INFO.keys() - {"name"}))
def test_a_missing_key_of_the_metadata_is_named(tmp_path, network, key):
    path = tmp_path / "less.onnx"
    path.write_bytes(pack(network, {k: v for k, v in INFO.items() if k != key}))
    assert error_of(path) == f"{path}: has no usable '{key}'"


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert error_of(tmp_path / "none.onnx") == f"{tmp_path / 'none.onnx'}: No such file or directory"


def test_a_file_is_written_only_where_none_is_and_whole(folder, file, tmp_path):
    for output, words in {
        tmp_path / "file.pt": f"must end in .onnx; the nearest valid value is {tmp_path / 'file.pt'}.onnx",
        tmp_path / "none" / "a.onnx": f"there is no folder {tmp_path / 'none'}; make it first",
        tmp_path / ("a" * 300 + ".onnx"): "cannot be written (File name too long)",
    }.items():
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(UsageError) as error:
            write_file(find(folder), output)
        assert str(error.value) == f"output {output}: {words}"
        assert sorted(tmp_path.rglob("*")) == before
    before = file.read_bytes()
    with pytest.raises(UsageError, match="exists already; write elsewhere or replace it with overwrite"):
        write_file(find(folder), file)
    write_file(find(folder), file, overwrite=True)
    assert file.read_bytes() == before
    with pytest.raises(UsageError, match="is an exported file already; copy it"):
        write_file(find(file), tmp_path / "copy.onnx")
    (folder / "model.onnx").write_bytes(b"damage")
    with pytest.raises(ModelError, match="damaged or changed"):
        write_file(find(folder), tmp_path / "damaged.onnx")


def test_weights_that_half_precision_represents_are_stored_in_it_and_nothing_changes():
    generator = np.random.default_rng(0)
    exact = generator.normal(size=(40, 30)).astype(np.float16).astype(np.float32)
    weights = {"exact": exact, "other": generator.normal(size=(30, 20)).astype(np.float32), "bias": exact[0, :20]}
    nodes = [
        helper.make_node("MatMul", ["x", "exact"], ["h"]),
        helper.make_node("MatMul", ["h", "other"], ["i"]),
        helper.make_node("Add", ["i", "bias"], ["y"]),
    ]
    shapes = {"x": [1, 40], "y": [1, 20]}
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items())
    stored = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "three", [x], [y], stored),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    whole = model.SerializeToString()
    half = halve(whole)
    assert len(whole) - len(half) == pytest.approx(exact.nbytes / 2, abs=100)
    kinds = {each.name: each.data_type for each in onnx.load_from_string(half).graph.initializer}
    assert kinds == {"exact.half": TensorProto.FLOAT16, "other": TensorProto.FLOAT, "bias": TensorProto.FLOAT}
    pixels = {"x": generator.normal(size=(1, 40)).astype(np.float32)}
    one, two = (onnxruntime.InferenceSession(each).run(None, pixels)[0] for each in (whole, half))
    np.testing.assert_array_equal(one, two)


def stored_elsewhere(network, location):
    """Let an initializer be in another file, as in a network that is too large for one."""
    model = ModelProto.FromString(network)
    tensor = model.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=[2])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return model.SerializeToString()


def in_a_constant(network, location):
    """The same in the attribute of a node."""
    model = ModelProto.FromString(network)
    tensor = ModelProto.FromString(stored_elsewhere(network, location)).graph.initializer[0]
    model.graph.node.append(helper.make_node("Constant", [], ["w"], value=tensor))
    return model.SerializeToString()


@pytest.mark.parametrize("location", ["w.bin", "../w.bin", "/etc/passwd"])
@pytest.mark.parametrize("store", [stored_elsewhere, in_a_constant])
def test_weights_that_no_digest_covers_are_refused(folder, network, store, location, tmp_path):
    (folder / "w.bin").write_bytes(bytes(8))
    content = store(network, location)
    (folder / "model.onnx").write_bytes(content)
    (folder / "model.json").write_text(json.dumps(INFO | {"files": {"model.onnx": entry(content)}}))
    reason = r"model\.onnx: its weights are in other files, which no digest covers; save it as one file"
    for use in (
        find(folder).verify,
        lambda: find(folder).file("model.onnx"),
        lambda: write_file(find(folder), tmp_path / "f.onnx"),
    ):
        with pytest.raises(ModelError, match=reason):
            use()
    (tmp_path / "packed.onnx").write_bytes(pack(content, INFO))
    with pytest.raises(ModelError, match="its weights are in other files"):
        find(tmp_path / "packed.onnx").verify()


def raw(kind):
    return lambda value: numpy_helper.from_array(np.array([1, value, 2], kind), "w")


def bfloat16(value):
    halves = (np.array([1, value, 2], np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return TensorProto(name="w", data_type=TensorProto.BFLOAT16, dims=[3], raw_data=halves.tobytes())


def as_numbers(kind):
    return lambda value: helper.make_tensor("w", kind, [3], [1, value, 2])


TENSORS = {
    "float": raw(np.float32),
    "half": raw(np.float16),
    "double": raw(np.float64),
    "complex": raw(np.complex64),
    "double complex": raw(np.complex128),
    "bfloat16": bfloat16,
    "float_data": as_numbers(TensorProto.FLOAT),
    "double_data": as_numbers(TensorProto.DOUBLE),
}


def initializer(tensor):
    return helper.make_graph([], "g", [], [], [tensor])


def sparse_initializer(tensor):
    places = numpy_helper.from_array(np.arange(3), "places")
    return helper.make_graph([], "g", [], [], sparse_initializer=[helper.make_sparse_tensor(tensor, places, [9])])


def constant(tensor):
    return helper.make_graph([helper.make_node("Constant", [], ["w"], value=tensor)], "g", [], [])


def branch(tensor):
    return helper.make_graph([helper.make_node("If", ["x"], ["y"], then_branch=constant(tensor))], "g", [], [])


def function(tensor):
    imports = [helper.make_opsetid("", 17)]
    body = helper.make_function("own", "f", [], ["w"], constant(tensor).node, imports)
    return helper.make_model(helper.make_graph([], "g", [], []), functions=[body], opset_imports=imports)


def serialized(holder):
    return (holder if isinstance(holder, ModelProto) else helper.make_model(holder)).SerializeToString()


@pytest.mark.parametrize("value", [1.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [initializer, sparse_initializer, constant, branch, function])
@pytest.mark.parametrize("form", TENSORS)
def test_weights_that_are_not_finite_are_refused(form, place, value):
    content = serialized(place(TENSORS[form](value)))
    if np.isfinite(value):
        check_network(content)
        return
    with pytest.raises(ValueError, match="its weights are not finite"):
        check_network(content)


@pytest.mark.parametrize(("name", "wrap"), [("value_float", float), ("value_floats", lambda value: [1.0, value])])
@pytest.mark.parametrize("value", [1.0, np.nan, np.inf])
def test_so_are_numbers_in_attributes(name, wrap, value):
    node = helper.make_node("Constant", [], ["w"], **{name: wrap(value)})
    content = serialized(helper.make_graph([node], "g", [], []))
    if np.isfinite(value):
        check_network(content)
        return
    with pytest.raises(ValueError, match="its weights are not finite"):
        check_network(content)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.FLOAT8E4M3FN])
def test_weights_in_a_form_that_is_not_checked_are_refused(kind):
    tensor = TensorProto(name="w", data_type=kind, dims=[1], int32_data=[0])
    with pytest.raises(ValueError, match="its weights are in float8 or int32_data, which are not supported; save them"):
        check_network(serialized(initializer(tensor)))
    check_network(serialized(initializer(TensorProto(name="w", data_type=TensorProto.INT32, int32_data=[7]))))


def test_a_network_that_mentions_a_location_is_taken(network):
    model = ModelProto.FromString(network)
    model.doc_string = "a network of a location"
    check_network(model.SerializeToString())


def test_a_damaged_network_is_no_onnx_file(network):
    """Of damage that leaves a network, nothing but the digest tells."""
    for length in range(len(network)):
        try:
            check_network(network[:length])
        except ValueError as error:
            assert str(error) == "not an ONNX file, or a damaged one"
    with pytest.raises(ValueError, match="not an ONNX file"):
        check_network(b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
