"""The map of the house: which layer may import which, read from the import statements themselves.

Imports inside functions and those for type checkers count like all others.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

BELOW_WIDGETS = ["ui/downloads", "ui/images", "ui/models"]

# Layer -> what it may import besides itself. A file belongs to the layer with the longest name that its path begins
# with. A name stands for the files directly in that folder; "name/" stands for its sub-folders, too.
LAYERS: dict[str, list[str]] = {
    "core": [],
    "released": ["core"],
    "batch": ["core"],
    "data": ["core", "released"],
    "training": ["core", "released", "data"],
    "detection/model": ["core", "released", "detection/grid"],
    "detection": ["core", "released", "batch", "detection/model"],
    "detection/evaluate": ["core", "batch", "data", "detection"],
    "detection/compare": ["core", "released", "batch", "data", "detection", "detection/evaluate"],
    "detection/train": [
        "core", "released", "data", "training", "detection", "detection/model", "detection/evaluate",
    ],
    "style/model": ["core", "released"],
    "style/samples": ["core"],
    "style/optimize": ["core", "released", "style", "style/model"],
    "style": ["core", "released", "batch", "style/model", "style/optimize", "style/samples"],
    "style/train": ["core", "released", "batch", "training", "style", "style/model", "style/optimize"],
    "classification/model": ["core", "released", "detection", "detection/model"],
    "classification": ["core", "released", "batch", "classification/model", "detection"],
    "classification/evaluate": ["core", "batch", "data"],
    "classification/train": ["core", "released", "data", "training", "classification/", "detection/"],
    "faces/model": ["core"],
    "faces": ["core", "released", "batch", "faces/model", "detection"],
    "faces/gallery": ["core", "faces"],
    "faces/evaluate": ["core", "batch", "data", "faces"],
    "faces/train": [
        "core", "released", "data", "training", "faces", "faces/model", "faces/evaluate", "detection/",
    ],
    "summary": ["core", "released", "detection/model", "classification/model"],
    "ui/widgets": ["", "core", "released", "faces/", "style/", *BELOW_WIDGETS],
    "ui": ["", "ui/widgets", "core", "released", "batch", "detection/", "faces/", "style/"],
    "ui/app": ["core", "ui"],
    "cli": [
        "", "core", "released", "batch", "data", "training", "detection/", "classification/", "faces/", "style/",
        "summary",
    ],
    "__main__": ["cli"],
    "": ["core", "detection/", "classification/", "faces/", "style/"],  # the door, `__init__`
}  # fmt: skip

# The only files whose import needs torch: those of networks and trainings, and what has no ONNX file.
WITH_TORCH = (
    "core/tensors", "released/write", "training/", "detection/model/", "detection/train/", "detection/region_detector",
    "detection/torchvision_detector", "classification/model/", "classification/train/", "faces/model/", "faces/train/",
    "style/model/", "style/optimize/", "style/train/", "summary/",
)  # fmt: skip
HEAVY = {"albumentations", "cv2", "faiss", "matplotlib", "numpy", "onnxruntime", "PIL", "scipy", "streamlit", "torch"}


@cache
def files() -> dict[str, Path]:
    """Every file of the package by its name, such as "core/boxes"; a package's `__init__` has its folder's name."""
    found = {}
    for path in sorted((ROOT / "vision_app").rglob("*.py")):
        name = path.relative_to(ROOT / "vision_app").with_suffix("").as_posix()
        found[name.removesuffix("__init__").rstrip("/")] = path
    return found


@cache
def imports(name: str, *, at_the_top: bool = False) -> frozenset[str]:
    """What a file imports: names of files of the package, and names of other packages with a dot in front."""
    tree = ast.parse(files()[name].read_text(encoding="utf-8"))
    found = set()
    for node in _runs_at_import(tree) if at_the_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {_target(module) for module in modules}
    return frozenset(found - {name})


def _runs_at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """All nodes that run when a file is imported: not those in functions, nor those for type checkers alone."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        for_types = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        waiting += node.orelse if for_types else ast.iter_child_nodes(node)


def _target(module: str) -> str:
    """The file of the package that `a.b.c` is or is in; ".a" for another package."""
    first, *parts = module.split(".")
    if first != "vision_app":
        return f".{first}"
    name = "/".join(parts)
    while name not in files():
        name = name.rpartition("/")[0]
    return name


def layer(name: str) -> str:
    """The layer that a file belongs to."""
    return max((known for known in LAYERS if name == known or name.startswith(f"{known}/") or not known), key=len)


def allowed(name: str, target: str) -> bool:
    """Whether a file may import another."""
    own = layer(name)
    if layer(target) == own:
        return not own.startswith("ui") or _is_shared(target)
    return any(_fits(target, entry) for entry in LAYERS[own])


def _fits(target: str, entry: str) -> bool:
    """Whether a permission of the table covers a file."""
    return target == entry or (target.startswith(entry) if entry.endswith("/") else layer(target) == entry)


def _is_shared(target: str) -> bool:
    """Whether a file of the page is none of its pages."""
    return target not in {f"ui/{page.stem}" for page in (ROOT / "vision_app" / "ui").glob("*.py") if _is_page(page)}


def _is_page(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == "page" for node in tree.body)


def test_every_layer_of_the_table_exists():
    assert [known for known in LAYERS if known and not any(layer(name) == known for name in files())] == []


def test_imports_run_downwards_only():
    wrong = [
        f"{name} imports {target}"
        for name in files()
        for target in sorted(imports(name))
        if not target.startswith(".") and not allowed(name, target)
    ]
    assert wrong == []


def test_no_files_import_each_other_in_a_circle():
    finished: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in finished:
            for target in sorted(imports(name)):
                if target and not target.startswith("."):
                    visit(target, (*path, name))
            finished.add(name)

    for name in files():
        visit(name, ())


def test_no_permission_of_the_table_is_unused():
    for name, entries in LAYERS.items():
        targets = {target for own in files() if layer(own) == name for target in imports(own)}
        assert [entry for entry in entries if not any(_fits(target, entry) for target in targets)] == [], name


@pytest.mark.parametrize("start", [name for name in files() if not f"{name}/".startswith(WITH_TORCH)])
def test_files_that_run_without_torch_never_import_it(start):
    waiting, seen = {start}, set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        found = imports(name, at_the_top=True)
        assert not found & {".torch", ".torchvision", ".safetensors"}, name
        waiting |= {target for target in found if not target.startswith(".")} - seen


def test_the_command_line_imports_nothing_heavy_before_a_verb_runs():
    seen, waiting = set(), {"cli", "cli/app", "__main__"}
    while waiting:
        name = waiting.pop()
        seen.add(name)
        found = imports(name, at_the_top=True)
        assert not {f".{heavy}" for heavy in HEAVY} & found, name
        waiting |= {target for target in found if not target.startswith(".")} - seen


def test_nothing_is_imported_by_a_string_outside_the_door():
    by_string = [
        name
        for name, path in files().items()
        if name and any(word in path.read_text(encoding="utf-8") for word in ("import_module(", "__import__("))
    ]
    assert by_string == []


def test_every_file_of_tests_is_named_after_the_file_that_it_tests():
    """`test_NAME.py` or `test_NAME_SUBJECT.py` stands where `NAME.py` stands; what is about the whole is on top."""
    places = {"benchmarks": ROOT / "benchmarks", "tools": ROOT / "tools", "ui/browser": ROOT / "vision_app" / "ui"}
    for path in (ROOT / "tests").glob("*/**/test_*.py"):
        folder = path.parent.relative_to(ROOT / "tests").as_posix()
        known = [f"test_{file.stem}" for file in places.get(folder, ROOT / "vision_app" / folder).glob("*.py")]
        assert any(path.stem == name or path.stem.startswith(f"{name}_") for name in known), path
