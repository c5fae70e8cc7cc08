import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.simulate.people import STRENGTH, S, meet_people
from recsys.simulate.settings import SimulateSettings
from recsys.simulate.shop import SUBCATEGORIES, L, Shop, open_shop
from recsys.simulate.words import CATALOGUE, STYLES


@settings(max_examples=25)
@given(st.integers(100, 400), st.integers(5, 200), st.integers(0, 99))
def test_every_item_stands_once_in_the_cluster_it_names(items: int, cluster_items: int, seed: int) -> None:
    shop = open_shop(SimulateSettings(items=items, cluster_items=cluster_items, users=10, seed=seed))
    c = shop.clusters
    members = [[item for item in row if item >= 0] for row in c.members.tolist()]
    assert len(members) == max(8, round(items / cluster_items))
    assert all(members)
    assert sorted(item for row in members for item in row) == list(range(items))
    for cluster, row in enumerate(members):
        assert {shop.items.cluster[item] for item in row} == {cluster}
        assert c.complement[cluster] != cluster
        assert {shop.items.cluster[shop.items.partner[item]] for item in row} == {c.complement[cluster]}
        siblings = np.flatnonzero(c.category == c.category[cluster])
        assert len(siblings) == 1 or c.complement[cluster] in siblings
    assert c.category.tolist() == sorted(c.category)
    assert [SUBCATEGORIES[sub][0] for sub in c.sub] == [list(CATALOGUE)[category] for category in c.category]
    assert abs(c.weight.sum() - 1) < 1e-12
    assert len(set(zip(c.sub, c.style, strict=True))) == len(members)  # no two clusters are the same thing


def test_popularity_falls_with_the_place_in_the_cluster(shop: Shop) -> None:
    base = np.where(shop.clusters.members >= 0, shop.items.base[shop.clusters.members], np.nan)
    assert (base[:, 0] - base[:, 9] > 1.2 * np.log(10) - 1.5).all()  # noise of 0.2 on either side


def test_the_settings_decide_the_shop(small: SimulateSettings, shop: Shop) -> None:
    again = open_shop(small)
    np.testing.assert_array_equal(again.items.taste, shop.items.taste)
    np.testing.assert_array_equal(again.people.activity, shop.people.activity)
    other = open_shop(small.model_copy(update={"seed": 8}))
    assert (other.items.price != shop.items.price).any()


def test_shares_of_launches_and_joiners_are_those_asked_for() -> None:
    shop = open_shop(SimulateSettings(items=4000, users=4000, launched_items=0.3, joining_users=0.2))
    for days, share in ((shop.items.launch, 0.3), (shop.people.join, 0.2)):
        later = days[days > 0]
        assert abs(len(later) / 4000 - share) < 4 * (share * (1 - share) / 4000) ** 0.5
        assert (later.min(), later.max()) == (2, 60)
    assert shop.items.price.min() > 0


def test_people_differ_and_are_active_once_on_average() -> None:
    weight, category = np.full(4, 0.25), np.asarray([0, 0, 3, 3], dtype=np.int32)
    people = meet_people(SimulateSettings(users=5000), weight, category, L)
    assert abs(people.activity.mean() - 1) < 1e-9
    assert np.median(people.activity) < 0.8  # few do most
    assert people.taste.shape == (5000, L)
    assert people.category.shape == people.strength.shape == (5000, S)
    assert set(people.category.ravel().tolist()) == {0, 3}  # only categories that exist
    same = (people.category[:, 1] == people.category[:, 0]).mean()
    assert abs(same - 0.75) < 0.03  # a half follows; of the rest, a half agrees by chance
    assert (people.strength[:, 0] == 0).all()
    assert ((people.strength[:, 4] <= 0.7 * STRENGTH[4]) & (people.strength[:, 4] >= 1.3 * STRENGTH[4])).all()


def test_the_words_allow_as_many_titles_as_are_promised() -> None:
    assert all(len(nouns) == 4 for kinds in CATALOGUE.values() for nouns in kinds.values())
    assert all(len(adjectives) == len(materials) == 3 for adjectives, materials in STYLES)
    assert {len(kinds) for kinds in CATALOGUE.values()} == {4}  # a category is a fixed number of subcategories
