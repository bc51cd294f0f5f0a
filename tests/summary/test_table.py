from math import inf

from vision_app.summary.table import Layer, format_table


def test_the_table_lines_its_columns_up():
    layers = [Layer("stem", "conv 3x3/2", (8, 16, 24), 1216, 82944, (3, 3)), Layer("", "mean", (8,), 0, 0, (inf, 7))]
    lines = format_table(layers).splitlines()
    assert [line.split() for line in lines if not line.startswith("-")] == [
        ["layer", "operation", "output", "parameters", "multiply-adds", "receptive", "field"],
        ["stem", "conv", "3x3/2", "8", "x", "16", "x", "24", "1,216", "82,944", "3"],
        ["network", "mean", "8", "0", "0", "all", "x", "7"],
        ["total", "1,216", "82,944"],
    ]
    assert len({line.find("82,944") + len("82,944") for line in lines if "82,944" in line}) == 1
