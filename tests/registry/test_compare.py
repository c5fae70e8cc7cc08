import numpy as np
import pytest

from recsys.errors import NoDataError
from recsys.registry.compare import Paired, compare


def paired(challenger: list[float], champion: list[float], user: list[int]) -> Paired:
    return Paired(
        metric="ndcg@10", challenger=np.asarray(challenger), champion=np.asarray(champion), user=np.asarray(user)
    )


def test_means_and_gain_by_hand() -> None:
    found = compare(paired([1.0, 0.5, 0.0], [0.5, 0.5, 0.5], [4, 4, 9]), 1, 2000)
    assert (found.challenger, found.champion, found.gain) == (0.5, 0.5, 0.0)
    assert (found.requests, found.users) == (3, 2)
    # Two users: both are 4 (1/4 of resamples, gain 1/4), both 9 (1/4, gain -1/2), or one each (1/2, gain 0).
    assert (found.low, found.high) == (-0.5, 0.25)
    assert found.ahead == pytest.approx(0.25, abs=0.04)
    assert "0.5000 against 0.5000 on 3 requests of 2 users: gain +0.0000" in found.sentence()


def test_requests_of_one_user_are_not_independent() -> None:
    random = np.random.default_rng(0)
    gain = np.repeat(random.normal(0.1, 1, 50), 40)
    alone = compare(paired(gain.tolist(), [0.0] * 2000, list(range(2000))), 1, 500)
    together = compare(paired(gain.tolist(), [0.0] * 2000, np.repeat(np.arange(50), 40).tolist()), 1, 500)
    assert together.gain == alone.gain
    assert together.high - together.low > 4 * (alone.high - alone.low)
    # The bootstrap's standard error is close to that of the mean of 50 users.
    assert (together.high - together.low) / 3.92 == pytest.approx(gain.std() / 50**0.5, rel=0.15)


def test_the_seed_decides_and_nothing_cannot_be_compared() -> None:
    data = paired([0.1, 0.9, 0.4], [0.2, 0.1, 0.4], [1, 2, 3])
    assert compare(data, 5, 200) == compare(data, 5, 200)
    with pytest.raises(NoDataError, match="no request"):
        compare(paired([], [], []), 1, 100)
