import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import ConfigError
from recsys.simulate.settings import SimulateSettings, read_days, read_settings


def test_assignments_lie_over_the_defaults_and_the_last_one_wins() -> None:
    assert read_settings([]) == SimulateSettings()
    read = read_settings(["users=50", "seed = 3", "start=2026-01-01", "users=60"])
    assert (read.users, read.seed, read.start.isoformat()) == (60, 3, "2026-01-01")
    assert read.items == SimulateSettings().items


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("user=5", r"the shop: user is not a known key\. Did you mean 'users'\?"),
        ("users", r"--set 'users' has no '='"),
        ("users=5", "users is '5': .*greater than or equal to 10"),
        ("users=many", "users is 'many': .*integer"),
        ("anonymous=1.5", "anonymous is '1.5'"),
        ("start=soon", "start is 'soon'"),
    ],
)
def test_each_fault_is_named(assignment: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        read_settings([assignment])
    assert caught.value.exit_code == 2


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_days_are_a_range_or_one_day(first: int, more: int) -> None:
    assert read_days(f"{first}..{first + more}") == (first, first + more)
    assert read_days(f" {first} ") == (first, first)


@pytest.mark.parametrize("text", ["", "0", "0..3", "5..4", "1-3", "1..", "..3", "1..2..3", "-1", "one", "1.5"])
def test_anything_else_is_no_range(text: str) -> None:
    with pytest.raises(ConfigError, match=r"write 1\.\.30 or 31"):
        read_days(text)
