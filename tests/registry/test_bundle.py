from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys.config import Operation, Settings
from recsys.errors import BundleError
from recsys.features.history import Histories
from recsys.registry.bundle import load, save
from tests.registry.conftest import ITEMS, SETTINGS, SNAPSHOT_AT, MakeBundle, encoder, ranker, snapshot


def history(*items: int) -> Histories:
    """One user who viewed the items, one a second, up to the snapshot's moment."""
    count = len(items)
    return Histories(
        offsets=np.asarray([0, count]),
        time=SNAPSHOT_AT - np.arange(count, 0, -1) * 1_000_000,
        behaviour=np.ones(count, dtype=np.int8),
        item=np.asarray(items, dtype=np.int32),
        price=np.full(count, -1),
        quantity=np.ones(count, dtype=np.int64),
        value=np.full(count, np.nan),
        items=ITEMS,
    )


def test_a_loaded_bundle_recommends_the_same(make_bundle: MakeBundle, tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "b", 1)
    loaded = load(tmp_path / "b")
    assert (loaded.id, loaded.manifest) == (made.id, made.manifest)
    assert len(made.id) == 16
    assert loaded.manifest.tables == {"events": 7, "examples": 3}
    assert loaded.engaged == set(SETTINGS.engaged())
    one, two = (b.recommend(history(1, 2), SNAPSHOT_AT) for b in (made, loaded))
    assert len(one.score) == SETTINGS.topn.n
    assert one.items.values.tolist() == two.items.values.tolist()
    np.testing.assert_array_equal(one.score, two.score)
    assert not {1, 2, 7} & set(one.items.values.tolist())  # seen, seen, out of stock


def test_a_bundle_carries_its_operations(tmp_path: Path) -> None:
    operations = tuple(
        Operation.model_validate(operation)
        for operation in (
            {"feature": "item_price_minor", "do": [{"bucketise": 4}, "one_hot"]},
            {"cross": ["view_count_1h", "pair_similarity"], "bins": 2},
        )
    )
    made = save(tmp_path / "b", encoder(1), ranker(1, operations), snapshot(), SETTINGS, {})
    loaded = load(tmp_path / "b")
    assert loaded.ranker.shape.operations == operations
    one, two = (b.recommend(history(1, 2), SNAPSHOT_AT) for b in (made, loaded))
    assert one.items.values.tolist() == two.items.values.tolist()
    np.testing.assert_array_equal(one.score, two.score)


def test_a_bundle_carries_its_attention_and_lists_rest_on_the_newest_behaviours(tmp_path: Path) -> None:
    made = save(tmp_path / "b", encoder(1), ranker(1, attention=3), snapshot(), SETTINGS, {})
    loaded = load(tmp_path / "b")
    assert loaded.ranker.attention == 3
    one, two = (b.recommend(history(1, 2), SNAPSHOT_AT) for b in (made, loaded))
    assert one.items.values.tolist() == two.items.values.tolist()
    np.testing.assert_array_equal(one.score, two.score)
    assert len(loaded.recommend(history(), SNAPSHOT_AT).score) == SETTINGS.topn.n  # nothing to attend to
    order = tuple(reversed(SETTINGS.behaviours))
    odd = made.ranker.shape.attention
    assert odd is not None
    other = made.ranker.shape.model_copy(update={"attention": odd.model_copy(update={"behaviours": order})})
    with pytest.raises(BundleError, match="The ranker attends to behaviours"):
        save(tmp_path / "c", encoder(1), replace(made.ranker, shape=other), snapshot(), SETTINGS, {})


def test_more_items_than_candidates_can_be_asked_for(make_bundle: MakeBundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b", 1)
    for items in ((1, 2), ()):
        assert len(bundle.recommend(history(*items), SNAPSHOT_AT, 15).score) == 15


def test_a_bundle_is_never_overwritten_and_leaves_nothing_behind(make_bundle: MakeBundle, tmp_path: Path) -> None:
    make_bundle(tmp_path / "b", 1)
    with pytest.raises(BundleError, match="exists already"):
        make_bundle(tmp_path / "b", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_parts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    fewer = Settings(behaviours={"click": SETTINGS.behaviours["click"]})
    with pytest.raises(BundleError, match="encoder knows behaviours"):
        save(tmp_path / "b", encoder(1), ranker(1), snapshot(), fewer, {})
    odd = ranker(1)
    odd = type(odd)(shape=odd.shape.model_copy(update={"names": ("odd",)}), inputs=odd.inputs, model=odd.model)
    with pytest.raises(BundleError, match="train the ranker anew"):
        save(tmp_path / "b", encoder(1), odd, snapshot(), SETTINGS, {})
    assert not (tmp_path / "b").exists()
