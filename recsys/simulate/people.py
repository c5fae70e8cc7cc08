"""The shop's users: how active they are, what they can pay, and which categories each of their interests lies in.

Shape letters: U users, S interests of a user, C clusters, L width of a taste vector.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.simulate.hashing import F64
from recsys.simulate.settings import SimulateSettings

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

S = 5
STRENGTH = (0.0, -0.9, -2.2, -3.0, -3.6)  # log strength of the S interests
SAME_CATEGORY = 0.5  # chance that a further interest lies in the first one's category
DEVICES = ("phone", "desktop", "tablet")


@dataclass(frozen=True, kw_only=True)
class People:
    """U users."""

    activity: F64  # [U] expected share of sessions, mean 1
    join: I64  # [U] first day; 0 or less: before day 1
    level: F64  # [U] price level, in standard deviations of the items'
    taste: F64  # [U, L]
    category: I32  # [U, S] top category of each interest
    strength: F64  # [U, S] log strength of each interest
    phase: F64  # [U] in [0, 1), spreads changes of taste over the calendar
    hour: F64  # [U] shift of the user's day, hours
    device: I32  # [U] usual device, index into DEVICES


def meet_people(settings: SimulateSettings, weight: F64, category: I32, width: int) -> People:
    """Draw the users. `weight` [C] and `category` [C] say how popular a cluster is and where it belongs."""
    rng = np.random.default_rng([settings.seed, 2])
    size = settings.users
    known = np.unique(category)
    mass = np.bincount(category, weights=weight)[known]
    interests = rng.choice(known, (size, S), p=mass / mass.sum())
    interests = np.where(rng.random((size, S)) < SAME_CATEGORY, interests[:, :1], interests)
    activity = rng.lognormal(0, 1.1, size) + 0.3
    return People(
        activity=activity / activity.mean(),
        join=np.where(rng.random(size) < settings.joining_users, rng.integers(2, 61, size), 0),
        level=rng.normal(0, 0.9, size),
        taste=rng.normal(0, 1 / np.sqrt(width), (size, width)),
        category=interests.astype(np.int32),
        strength=np.array(STRENGTH) * rng.uniform(0.7, 1.3, (size, 1)),
        phase=rng.random(size),
        hour=rng.normal(0, 2.5, size),
        device=rng.choice(len(DEVICES), size, p=[0.62, 0.28, 0.10]).astype(np.int32),
    )
