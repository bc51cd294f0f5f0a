"""YAML of others: what is read, and that nothing small becomes large."""

import time

import pytest

from vision_app.core.yaml_file import read_yaml

LEVELS = "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))
BOMB = f"a0: &a0 [lol,lol,lol,lol,lol,lol,lol,lol,lol,lol]\n{LEVELS}"
MERGES = "a0: &a0 {k: 1, l: 2}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{','.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 9)
)


def test_aliases_are_followed(tmp_path):
    (tmp_path / "a.yaml").write_text("few: &few [a, b]\ntwice: [*few, *few]\nmerged: {<<: {x: 1}, y: 2}\n")
    content, node = read_yaml(tmp_path / "a.yaml")
    assert content == {"few": ["a", "b"], "twice": [["a", "b"]] * 2, "merged": {"x": 1, "y": 2}}
    assert [key.value for key, _ in node.value] == ["few", "twice", "merged"]
    (tmp_path / "a.yaml").write_text("")
    assert read_yaml(tmp_path / "a.yaml") == (None, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB + "names: [*a8]\n", "holds more than 100,000 values when its aliases are followed"),
        (BOMB + "path: *a8\n", "holds more than 100,000 values when its aliases are followed"),
        (MERGES, "holds more than 100,000 values when its aliases are followed"),
        ("a: &a [*a]\n", "an alias stands for what contains it"),
        ("a: &a {b: {c: *a}}\n", "an alias stands for what contains it"),
        ("names: " + "[" * 101 + "]" * 101, "nested more than 100 deep"),
        ("names: " + "[" * 50_000, "nested more than 100 deep"),
        ("- " * 5_000 + "a", "nested more than 100 deep"),
        ("n: " + "1" * 301, "a number has 301 characters"),
        ("n: " + "1:" * 5_000 + "1", "a number has 10,001 characters"),
        ("a: [", "while parsing a flow node"),
        ("a: !!int ''", "index out of range"),
        ("a: !!timestamp soon", "has no attribute"),
        ("a: !!bool perhaps", "perhaps"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("? [a]\n: b", "unhashable key"),
        ("a: " + "x" * 2_000_000, "too large: 2,000,003 bytes are over the limit of 2,000,000"),
    ],
)  # fmt: skip
def test_what_is_no_yaml_or_too_much_of_it_is_refused_at_once(tmp_path, text, reason):
    (tmp_path / "a.yaml").write_text(text)
    start = time.process_time()
    with pytest.raises((ValueError, OSError)) as refused:
        read_yaml(tmp_path / "a.yaml")
    assert reason in str(refused.value)
    assert time.process_time() - start < 30  # followed to its end, a bomb takes hours


def test_many_values_are_refused_before_all_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("vision_app.core.yaml_file.MAX_VALUES", 100)
    (tmp_path / "a.yaml").write_text("[" + "a," * 100 + "{")  # the error at its end is never met
    with pytest.raises(ValueError, match="holds more than 100 values"):
        read_yaml(tmp_path / "a.yaml")
