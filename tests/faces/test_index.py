"""`FaceIndex`: held to a plain product of matrices, exact and above the limit, while people come and go."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision_app.core.errors import GalleryError
from vision_app.faces import index as face_index
from vision_app.faces.index import NOBODY, FaceIndex

D = 16


def units(count, seed=0):
    values = np.random.default_rng(seed).standard_normal((count, D)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def lookup_in(embeddings, ids):
    """Return what finds embeddings by id in memory."""
    rows = dict(zip(np.asarray(ids).tolist(), embeddings, strict=True))

    def lookup(wanted):
        there = [key for key in wanted.tolist() if key in rows]
        return np.array(there, np.int64), np.array([rows[key] for key in there], np.float32).reshape(-1, D)

    lookup.rows = rows
    return lookup


def build(embeddings, ids, every=None):
    """Build an index that finds the embeddings of `every` id, by default of its own."""
    return FaceIndex.build(embeddings, ids, lookup_in(*(every or (embeddings, ids))))


def ids_for(count, seed=0):
    return np.random.default_rng(seed).choice(2**62, count, replace=False)


@pytest.fixture(params=["exact", "inverted file"])
def kind(request, monkeypatch):
    """Runs a test with either kind of index; the limits are small, so that few embeddings are enough."""
    if request.param == "inverted file":
        monkeypatch.setattr(face_index, "EXACT_LIMIT", 300)
        monkeypatch.setattr(face_index, "LISTS", 4)
    return request.param


def brute_force(queries, embeddings, ids, k):
    similarities = queries @ embeddings.T
    order = np.argsort(-similarities, axis=1)[:, :k]
    return np.take_along_axis(similarities, order, 1), ids[order]


def test_neighbors_are_those_of_a_plain_product(kind):
    embeddings, ids = units(800), ids_for(800)
    index = build(embeddings, ids)
    assert (len(index), index.exact) == (800, kind == "exact")
    assert set(index.ids) == set(ids)
    queries = units(30, seed=1)
    similarities, found = index.search(queries, 7)
    wanted, wanted_ids = brute_force(queries, embeddings, ids, 7)
    np.testing.assert_array_equal(found, wanted_ids)
    np.testing.assert_allclose(similarities, wanted, atol=1e-6)


def test_removed_embeddings_are_never_found_and_added_ones_are(kind):
    embeddings, ids = units(800), ids_for(800)
    index = build(embeddings[:700], ids[:700], every=(embeddings, ids))
    assert index.remove(ids[:100]) == 100 and index.remove(ids[:100]) == 0
    index.add(embeddings[700:], ids[700:])
    assert len(index) == 700 and set(index.ids) == set(ids[100:])
    _, found = index.search(embeddings, 5)
    assert not np.isin(found, ids[:100]).any()
    np.testing.assert_array_equal(found[100:, 0], ids[100:])


def test_an_index_after_removals_and_additions_answers_like_a_new_one(monkeypatch):
    monkeypatch.setattr(face_index, "EXACT_LIMIT", 300)
    monkeypatch.setattr(face_index, "LISTS", 4)
    monkeypatch.setattr(face_index, "CANDIDATES", 1)  # what the codes alone say
    embeddings, ids, queries = units(800), ids_for(800), units(60, seed=4)
    changed, fresh = build(embeddings, ids), build(embeddings, ids)
    changed.remove(ids[:500])
    changed.add(embeddings[:500], ids[:500])
    same = changed.search(queries, 20)[1] == fresh.search(queries, 20)[1]
    assert same.mean() > 0.99  # equal codes may come in another order
    assert changed.remove(ids) == 800 and len(changed) == 0 and changed.ids.size == 0
    assert (changed.search(queries, 2)[1] == NOBODY).all()


def test_a_file_contains_the_index_and_nothing_that_was_removed(kind):
    embeddings, ids = units(800), ids_for(800)
    index = build(embeddings, ids)
    index.remove(ids[:400])
    again = FaceIndex.from_bytes(index.to_bytes(), lookup_in(embeddings, ids))
    queries = units(10, seed=2)
    for one, other in zip(again.search(queries, 4), index.search(queries, 4), strict=True):
        np.testing.assert_array_equal(one, other)
    content = index.to_bytes()
    assert not any(key.tobytes() in content for key in ids[:400])
    assert not any(row.tobytes()[:16] in content for row in embeddings[:400])


def test_embeddings_that_the_lookup_no_longer_has_are_not_found(monkeypatch):
    monkeypatch.setattr(face_index, "EXACT_LIMIT", 300)
    monkeypatch.setattr(face_index, "LISTS", 4)
    embeddings, ids = units(500), ids_for(500)
    lookup = lookup_in(embeddings, ids)
    index = FaceIndex.build(embeddings, ids, lookup)
    assert index.search(embeddings[:1], 1)[1] == ids[0]
    del lookup.rows[ids[0]]
    similarities, found = index.search(embeddings[:1], 3)
    assert ids[0] not in found and np.isfinite(similarities).all()


def test_missing_neighbors_are_nobody_with_the_lowest_similarity():
    index = build(units(2), np.array([5, 9]))
    similarities, found = index.search(units(1), 4)
    assert sorted(found[0, :2]) == [5, 9] and (found[0, 2:] == NOBODY).all()
    assert np.isneginf(similarities[0, 2:]).all()


def test_equal_similarities_come_by_id():
    same = np.repeat(units(1), 4, axis=0)
    _, found = build(same, np.array([40, 10, 30, 20])).search(same[:1], 4)
    assert found.tolist() == [[10, 20, 30, 40]]


@pytest.mark.parametrize(
    ("queries", "k", "message"),
    [
        (np.full((1, D), np.nan), 1, "finite"),
        (np.full((1, D), np.inf), 1, "finite"),
        (np.zeros((0, D)), 1, "1 neighbors of 0 faces"),
        (np.zeros((1, D + 1)), 1, f"N x {D} numbers"),
        (np.zeros(D), 1, f"N x {D} numbers"),
        (np.zeros((1, D)), 0, "0 neighbors of 1 faces"),
    ],
)
def test_invalid_queries_are_refused(queries, k, message):
    index = build(units(3), np.arange(3))
    with pytest.raises(GalleryError, match=message):
        index.search(queries, k)


def test_invalid_embeddings_and_ids_are_refused():
    for embeddings, ids, message in (
        (np.full((2, D), np.nan), [1, 2], "finite"),
        (units(2), [1], "ids"),
        (units(2), [1, -1], "ids"),
        (units(1)[0], [1], "N x D"),
    ):
        with pytest.raises(GalleryError, match=message):
            build(embeddings, np.array(ids), every=(units(1), [1]))
    with pytest.raises(GalleryError, match="cannot be read"):
        FaceIndex.from_bytes(b"no index at all, but long enough to look at", lambda ids: ids)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=40), st.integers(1, 6))
def test_any_sequence_of_changes_leaves_what_a_dict_would_contain(changes, k):
    pool = units(31, seed=3)
    index, held = build(pool[:1], np.array([0])), {0: pool[0]}
    for is_new, key in changes:
        if is_new and key not in held:
            index.add(pool[key : key + 1], np.array([key]))
            held[key] = pool[key]
        elif not is_new:
            assert index.remove(np.array([key])) == (held.pop(key, None) is not None)
    assert set(index.ids) == set(held)
    similarities, found = index.search(pool[:2], k)
    for row, near in zip(found, similarities, strict=True):
        wanted = sorted(held, key=lambda key: -float(pool[key] @ pool[0]))[:k] if row is found[0] else None
        assert (row != NOBODY).sum() == min(k, len(held))
        assert wanted is None or row[row != NOBODY].tolist() == wanted
        assert (np.diff(near[row != NOBODY]) <= 0).all()
