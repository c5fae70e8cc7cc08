"""Random logs for property-based tests: ties, window edges ± 1 µs, missing values, several users and none."""

from __future__ import annotations

from hypothesis import strategies as st

from recsys.config import UserFeature
from tests.features.oracle import ENGAGED, NAMES, WINDOW, Event, S

AT = 1_700_000_000 * S + 123_457
GAP = 1800 * S
EDGES = sorted({AT - w + d for w in [*WINDOW.values(), GAP, 2 * GAP, 600 * S, 0, S] for d in (-1, 0, 1)})
ITEMS = ("a", "b", "c", "ü", None)

EVERY_KIND = (
    UserFeature(operation="count", behaviour="view", window="1m"),
    UserFeature(operation="count", window="90d"),
    UserFeature(operation="decayed_count", behaviour="click", window="1h"),
    UserFeature(operation="decayed_count", window="7d"),
    UserFeature(operation="trend", behaviour="view", window="1h", reference="30d"),
    UserFeature(operation="distinct_items"),
    UserFeature(operation="recency_s", behaviour="cart", window="15m"),
    UserFeature(operation="sum", value="price", window="7d"),
    UserFeature(operation="sum", value="value", behaviour="rating"),
    UserFeature(operation="mean", value="spend", behaviour="purchase", window="1d"),
    UserFeature(operation="mean", value="value", window="30d"),
    UserFeature(operation="min", value="quantity"),
    UserFeature(operation="max", value="spend", window="15m"),
    UserFeature(operation="std", value="price"),
    UserFeature(operation="std", value="value", window="7d"),
    UserFeature(operation="std", value="spend", behaviour="view", window="1h"),
    UserFeature(operation="first", value="price", behaviour="view", window="1d"),
    UserFeature(operation="last", value="value"),
)

times = st.one_of(st.sampled_from(EDGES), st.integers(AT - 40 * 86_400 * S, AT + 3600 * S))


@st.composite
def events(draw: st.DrawFn, size: int = 30, users: tuple[str | None, ...] = ("u", "v", "w", None)) -> list[Event]:
    """A log in arrival order; ids are unique and unrelated to time."""
    numbers = draw(st.lists(st.integers(0, 10_000), max_size=size, unique=True))
    return [
        Event(
            id=f"e{number}",
            user=draw(st.sampled_from(users)),
            time=draw(times),
            behaviour=draw(st.sampled_from(NAMES)),
            item=draw(st.sampled_from(ITEMS)),
            price=draw(st.one_of(st.none(), st.sampled_from([0, 1, 999, 2**40]))),
            quantity=draw(st.integers(-2, 3)),
            value=draw(st.one_of(st.none(), st.floats(0.5, 5))),
        )
        for number in numbers
    ]


moments = st.one_of(st.just(AT), st.sampled_from(EDGES), st.integers(AT - 86_400 * S, AT + 8 * 86_400 * S))
__all__ = ["AT", "ENGAGED", "GAP", "events", "moments"]
