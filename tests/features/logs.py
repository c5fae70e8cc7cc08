"""Random logs for property-based tests: ties, window edges ± 1 µs, missing values, several users and none."""

from __future__ import annotations

from hypothesis import strategies as st

from recsys.config import UserFeature
from tests.features.oracle import ENGAGED, NAMES, WINDOW, Event, S

AT = 1_700_000_000 * S + 123_457
GAP = 1800 * S
EDGES = sorted({AT - w + d for w in [*WINDOW.values(), GAP, 2 * GAP, 600 * S, 0, S] for d in (-1, 0, 1)})
ITEMS = ("a", "b", "c", "ü", None)
QUERIES = (None, "", "red shoe", "shoe", "red red hat", "ü")
CATEGORIES = (None, "x", "y", "x|z")

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
    UserFeature(operation="rate", behaviour="purchase", per="cart", window="30d"),
    UserFeature(operation="rate", behaviour="click", per="view", prior=(0, 1)),
    UserFeature(operation="distinct", key="item", behaviour="view", window="7d"),
    UserFeature(operation="distinct", key="behaviour"),
)
KEYED = (
    UserFeature(operation="last_k", key="item", k=3),
    UserFeature(operation="last_k", key="category", k=20, behaviour="view", window="30d"),
    UserFeature(operation="last_k", key="term", k=4),
    UserFeature(operation="top_k", key="item", k=2, window="7d"),
    UserFeature(operation="top_k", key="category", k=3, window="30d"),
    UserFeature(operation="top_k", key="term", k=2, behaviour="search"),
    UserFeature(operation="counts", key="behaviour", window="1d"),
    UserFeature(operation="counts", key="query"),
    UserFeature(operation="means", key="category", value="price", window="30d"),
    UserFeature(operation="means", key="item", value="value"),
    UserFeature(operation="means", key="term", value="spend", behaviour="view"),
    UserFeature(operation="means", key="behaviour", value="quantity", window="1h"),
    UserFeature(operation="distinct", key="category", window="1m"),
    UserFeature(operation="distinct", key="term", window="90d"),
)
LIFETIME = (
    UserFeature(operation="lifetime_count"),
    UserFeature(operation="lifetime_count", behaviour="impression"),
    UserFeature(operation="lifetime_rate", behaviour="click", per="impression"),
    UserFeature(operation="lifetime_rate", behaviour="purchase", per="cart", prior=(0.5, 2)),
    UserFeature(operation="lifetime_recency_s"),
    UserFeature(operation="lifetime_recency_s", behaviour="impression"),
    UserFeature(operation="lifetime_sum", value="spend", behaviour="cart"),
    UserFeature(operation="lifetime_sum", value="quantity"),
    UserFeature(operation="lifetime_mean", value="price", behaviour="impression"),
    UserFeature(operation="lifetime_min", value="price"),
    UserFeature(operation="lifetime_max", value="value"),
    UserFeature(operation="lifetime_first", value="price", behaviour="view"),
    UserFeature(operation="lifetime_last", value="value"),
)
FADING = (  # over a lifetime too, but sums of doubles: equal to 1e-9, not to the bit
    UserFeature(operation="lifetime_decayed_count", window="30d"),
    UserFeature(operation="lifetime_decayed_count", behaviour="impression", window="16d"),
    UserFeature(operation="lifetime_decayed_sum", value="spend", behaviour="view", window="16d"),
    UserFeature(operation="lifetime_decayed_sum", value="value", window="3650d"),
    UserFeature(operation="lifetime_distinct", key="item"),
    UserFeature(operation="lifetime_distinct", key="item", behaviour="impression"),
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
            query=draw(st.sampled_from(QUERIES)),
            category=draw(st.sampled_from(CATEGORIES)),
        )
        for number in numbers
    ]


moments = st.one_of(st.just(AT), st.sampled_from(EDGES), st.integers(AT - 86_400 * S, AT + 8 * 86_400 * S))
__all__ = ["AT", "ENGAGED", "GAP", "events", "moments"]
