import numpy as np
import pytest

from recsys.features.history import MISSING
from recsys.ranking.draws import HOUR, build_pool, draw_chance, uniform
from recsys.ranking.examples import Log
from tests.ranking.test_examples import CLICK, log, made, noise, pool, tuples


def test_an_hour_serves_from_its_end_and_its_items_weigh_a_power_of_their_events() -> None:
    """Rows in any order; hour 1 has items 3 and 7 with 4 and 1 events, hour 2 has item 5."""
    hour, item, events = (np.asarray(column) for column in ([2, 1, 1], [5, 7, 3], [9, 1, 4]))
    found = build_pool(hour * HOUR, item.astype(np.int32), events, 0.5)
    assert found.items.tolist() == [3, 7, 5]
    assert found.offsets.tolist() == [0, 2, 3]
    assert found.cumulative.tolist() == [2, 3, 6]
    assert found.newest(np.asarray([HOUR - 1, HOUR, 2 * HOUR - 1, 2 * HOUR])).tolist() == [-1, 0, 0, 1]
    luck = np.asarray([[0.0, 0.66, 0.67], [0.0, 0.5, 0.99]])  # two thirds of hour 1 are item 3's
    assert found.draw(np.asarray([HOUR, 2 * HOUR]), luck).tolist() == [[3, 3, 7], [5, 5, 5]]
    share = found.share(np.asarray([0, 0, 1, 1]), np.asarray([3, 7, 5, 3], np.int32), lacking=1.0)
    assert share.tolist() == pytest.approx([2 / 3, 1 / 3, 1, 1 / 3])


def test_the_random_numbers_are_those_of_splitmix64() -> None:
    """The first outputs that the reference implementation gives for two seeds; the top 53 bits make the number."""
    known = [
        [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F],
        [6457827717110365317, 3203168211198807973, 9817491932198370423],
    ]
    expected = [[(output >> 11) / 2**53 for output in row] for row in known]
    assert uniform(np.asarray([0, 1234567]), 3).tolist() == expected
    assert not set(uniform(np.asarray([0]), 3, stream=1)[0]) & set(expected[0])


def test_draws_follow_the_weights() -> None:
    users = 4000
    rows = [(user, 1, CLICK, 0, MISSING) for user in range(users)]
    drawn = made(log(rows), noise(pool({0: {1: 9, 2: 1}}, 0.5), 1))
    negatives = drawn.item[drawn.behaviour == MISSING]
    assert len(negatives) == users
    share = float((negatives == 1).mean())  # weights 3 and 1
    assert abs(share - 0.75) < 4 * (0.75 * 0.25 / users) ** 0.5


def test_each_pool_gives_its_own_number_of_negatives() -> None:
    rows = [(user, HOUR, CLICK, 0, MISSING) for user in range(50)]
    two = (*noise(pool({1: {1: 1, 2: 1, 3: 1}}), 2), *noise(pool({0: dict.fromkeys(range(4, 20), 1)}), 3))
    pairs = made(log(rows), two)
    for user in range(50):
        negatives = pairs.item[(pairs.row == user) & (pairs.behaviour == MISSING)].tolist()
        assert sum(item < 4 for item in negatives) <= 2
        assert 2 <= sum(item >= 4 for item in negatives) <= 3


def test_a_pool_may_give_nothing() -> None:
    rows = [(0, HOUR, CLICK, 0, MISSING)]
    pairs = made(log(rows), (*noise(pool({1: {1: 1}}), 0), *noise(pool({0: {2: 1, 0: 1}}), 2)))
    assert pairs.item.tolist() == [0, 2]
    assert pairs.chance.tolist() == [0.75, 0.75]


def test_the_chance_of_a_draw_is_how_often_it_is_drawn() -> None:
    users = 20_000
    rows = [(user, HOUR, CLICK, 0, MISSING) for user in range(users)]
    many = dict.fromkeys(range(10, 40), 1)  # so that few draws are void
    two = (*noise(pool({1: {1: 6, 2: 3, 3: 1, **many}}), 1), *noise(pool({0: {1: 1, 2: 1, 3: 1, **many}}), 2))
    pairs = made(log(rows), two)
    negatives = pairs.behaviour == MISSING
    wide = (1 - 1 / 33) ** 2
    expected = {1: 1 - 0.85 * wide, 2: 1 - 0.925 * wide, 3: 1 - 0.975 * wide, 10: 1 - 0.975 * wide}
    for item, wanted in expected.items():
        here = negatives & (pairs.item == item)
        assert np.unique(pairs.chance[here]).tolist() == [pytest.approx(wanted)]
        assert here.sum() / users == pytest.approx(wanted, rel=0.05)
    assert draw_chance(noise(pool({0: {1: 3, 2: 1}}), 2), np.asarray([5, 5]), np.asarray([1, 9], np.int32)) == (
        pytest.approx([1 - 0.25**2, 1 - 0.75**2])  # 9 lacks, so it counts as one event among four
    )


def test_draws_do_not_depend_on_the_other_users_of_the_batch() -> None:
    rows = [(user, 7, CLICK, user % 3, MISSING) for user in range(20)]
    whole = log(rows)
    some = {item: item + 1 for item in range(9)}
    together = tuples(made(whole, noise(pool({0: some}), 3)))
    for user in range(20):
        alone = Log(**{name: getattr(whole, name)[user : user + 1] for name in Log.__dataclass_fields__})
        expected = [pair[1:] for pair in together if pair[0] == user]
        assert [pair[1:] for pair in tuples(made(alone, noise(pool({0: some}), 3)))] == expected
