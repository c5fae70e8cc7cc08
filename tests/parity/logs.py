"""Random logs as a source would send them: late, out of order, tied, sent twice, on the edges of windows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from random import Random

from tests.features.logs import CATEGORIES, QUERIES
from tests.features.oracle import NAMES, WINDOW, Event, S

END = 1_772_409_600 * S  # 2026-03-02 00:00 UTC: no event happens later
DAY, HOUR = 86_400 * S, 3600 * S
SPAN = 40 * DAY
RETENTION = 60  # days; an event that is known later is too late
SHIFTS = (-1, 0, 1)
MAPPING = {
    "name": "parity",
    "format": {"type": "json", "pattern": "*.json"},
    "id": {"column": "id"},
    "time": {"column": "t", "format": "epoch_us"},
    "known": {"received": {"column": "k", "format": "epoch_us"}},
    "behaviour": {"column": "b", "values": {name: name for name in NAMES}},
    "user": {"column": "u"},
    "item": {"column": "i"},
    "price": {"column": "p"},
    "quantity": {"column": "q"},
    "value": {"column": "v"},
    "query": {"column": "s"},
    "context": {"category": "c"},
}


@dataclass(frozen=True)
class Line:
    """An event as it arrives. `known` is when; `fault` the reason for which it is set aside."""

    event: Event
    known: int
    fault: str = ""

    def json(self) -> str:
        """The line of a file."""
        e = self.event
        row = {"id": e.id, "t": e.time, "k": self.known, "b": e.behaviour, "q": e.quantity}
        more = {"u": e.user, "i": e.item, "p": e.price, "v": e.value, "s": e.query, "c": e.category}
        return json.dumps(row | {key: value for key, value in more.items() if value is not None})


def _times(random: Random, size: int) -> Iterator[int]:
    """Moments, many of them ± 1 microsecond on a border: of an hour, or of a window of one of a few moments."""
    asked = [END - random.randrange(2 * DAY) for _ in range(8)]
    for _ in range(size):
        luck = random.random()
        if luck < 0.3:
            yield random.choice(asked) - random.choice(list(WINDOW.values())) + random.choice(SHIFTS)
        elif luck < 0.4:
            yield (END - random.randrange(3 * DAY)) // HOUR * HOUR + random.choice(SHIFTS) - 1
        else:
            yield END - 1 - int(SPAN * random.random() ** 3)  # the newer, the denser


def _event(random: Random, name: str, number: int, time: int, people: int, things: int) -> Event:
    behaviour = random.choice(NAMES)
    user = None if random.random() < 0.05 else f"{name}u{int(people * random.random() ** 3)}"
    item = None if behaviour == "search" or random.random() < 0.03 else f"{name}i{int(things * random.random() ** 2)}"
    return Event(
        id=f"{name}e{random.getrandbits(40):010x}{number}",
        user=user,
        time=min(time, END - 1),
        behaviour=behaviour,
        item=item if item or behaviour == "search" else f"{name}i0",
        price=random.choice([None, 0, 1, 999, 2**40]),
        quantity=random.randrange(1, 4),
        value=random.choice([None, 0.1, 3.5, 5.0]),
        query=QUERIES[number % len(QUERIES)] or None,
        category=CATEGORIES[number // 2 % len(CATEGORIES)],
    )


def lines(name: str, seed: int, size: int) -> list[Line]:
    """A log in order of arrival, with ids of its own: a quarter late, 2% sent again, a few beyond the retention."""
    random = Random(f"{name}-{seed}")
    people, things = max(5, size // 60), max(4, size // 200)
    made: list[Line] = []
    for number, time in enumerate(_times(random, size)):
        event = _event(random, name, number, time, people, things)
        if made and random.random() < 0.15:  # a tie, half of them of one user
            other = random.choice(made[-20:]).event
            event = replace(event, time=other.time, user=other.user if random.random() < 0.5 else event.user)
        luck = random.random()
        delay = random.randrange(20 * S) if luck < 0.75 else random.randrange(DAY if luck < 0.95 else 30 * DAY)
        fault = ""
        if luck > 0.998:
            delay, fault = RETENTION * DAY + random.randrange(1, 30 * DAY), "too_late"
        made.append(Line(event, event.time + delay, fault))
    again = [
        Line(line.event, line.known + random.randrange(3 * DAY), line.fault) for line in made if random.random() < 0.02
    ]
    return sorted(made + again, key=lambda line: (line.known, random.random()))


def batches(logs: list[list[Line]], count: int, seed: int) -> list[list[Line]]:
    """The lines of all logs in `count` batches: each log is cut at random places, and each batch is shuffled."""
    random = Random(seed)
    made: list[list[Line]] = [[] for _ in range(count)]
    for log in logs:
        weights = [random.random() + 0.05 for _ in range(count)]
        edges = [round(len(log) * part / sum(weights)) for part in accumulate(weights)]
        for number, (low, high) in enumerate(pairwise([0, *edges[:-1], len(log)])):
            made[number] += log[low:high]
    for batch in made:
        random.shuffle(batch)
    return made
