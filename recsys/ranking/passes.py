"""The two passes over users as Arrow tables: events -> labelled pairs, and histories with pairs -> features. No Spark.

Shape letters: E behaviours, M pairs, T target behaviours, C items of the histories' dictionary, Fi item features.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.config import RankerSettings, Settings
from recsys.features.definitions import item_features_of
from recsys.features.history import F32, FIELDS, I32, I64, MISSING, Histories, from_columns
from recsys.features.windows import Bool
from recsys.ranking.assemble import Encoder, Requests, features
from recsys.ranking.draws import HOUR, MOMENTS, REQUESTS, Draw, Noise, build_pool, uniform
from recsys.ranking.examples import Kinds, Lists, Log, make_pairs
from recsys.ranking.near import with_near
from recsys.ranking.recent import list_column

Batches = Iterable[pa.RecordBatch]
LAG = timedelta(days=1)  # the longest time from a request to its label
MICROSECOND = timedelta(microseconds=1)
UTC = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which target behaviours are asked for: those whose moment lies in [first, last), microseconds since 1970 UTC."""

    first: int
    last: int
    until: int  # the events end here
    share: float  # of those, drawn by their hash; 1: all


def whole_users(batches: Batches) -> Iterator[pa.Table]:
    """The same rows, cut where the user changes: of a batch only its last user is held back for the next."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        if not batch.num_rows:
            continue
        users = batch.column("user_id")
        start = batch.num_rows - (pc.sum(pc.equal(users, users[-1])).as_py() or 0)
        if start:
            yield pa.Table.from_batches([*held, batch.slice(0, start)])
            held = []
        elif held and held[-1].column("user_id")[-1] != users[0]:
            yield pa.Table.from_batches(held)
            held = []
        held.append(batch.slice(start))
    if held:
        yield pa.Table.from_batches(held)


def kinds_of(settings: Settings) -> Kinds:
    """Codes of the behaviours that examples tell apart."""
    codes = {name: code for code, name in enumerate(settings.behaviours)}
    return Kinds(
        shown=codes.get("impression", MISSING),
        engaged=np.asarray([codes[name] for name in settings.engaged()], dtype=np.int8),
        targets=np.asarray([codes[name] for name in settings.targets()], dtype=np.int8),
    )


def read_noise(hourly: pa.Table, wide: pa.Table, ranker: RankerSettings) -> tuple[Noise, pa.Array]:
    """What negatives are drawn from, and its item ids; both tables: hour (its end in microseconds), item_id, events."""
    encoded = (
        pa.chunked_array([*hourly["item_id"].chunks, *wide["item_id"].chunks], pa.string())
        .combine_chunks()
        .dictionary_encode()
    )
    codes, draws, first = encoded.indices.to_numpy(), [], 0
    for table, count in ((hourly, ranker.negatives), (wide, ranker.wide)):
        item = codes[first : first + table.num_rows]
        pool = build_pool(table["hour"].to_numpy(), item, table["events"].to_numpy(), ranker.popularity)
        draws.append(Draw(pool=pool, count=count))
        first += table.num_rows
    return tuple(draws), encoded.dictionary


def labelled(
    table: pa.Table, noise: Noise, noise_items: pa.Array, encoder: Encoder, settings: Settings, chosen: Chosen
) -> pa.Table:
    """One table of whole users' events, histories included -> the columns of spark.PAIRS."""
    names = pa.array(list(settings.behaviours), pa.string())
    both = pa.concat_arrays(
        [noise_items, table["item_id"].combine_chunks()]
    ).dictionary_encode()  # the noise's codes stay
    item = pc.fill_null(both.indices, MISSING).to_numpy(zero_copy_only=False)[len(noise_items) :]
    log = _log(table, item, names)
    ranker = settings.ranker
    kinds = kinds_of(settings)
    moment = _moments(log, ranker.nightly)
    asked = (moment >= chosen.first) & (moment < chosen.last) & (uniform(log.draw, 1, REQUESTS)[:, 0] < chosen.share)
    lists = Lists(round(ranker.label_hours * HOUR), chosen.until) if ranker.lists else None
    pairs = make_pairs(log, asked, moment, kinds, noise, lists)
    pairs, near = with_near(
        log, moment, pairs, kinds.engaged, tuple(both.dictionary.to_pylist()), noise, encoder, settings
    )
    names_of = pa.array(encoder.vocabulary.items, pa.string())
    row, shown = np.concatenate([pairs.row, near.row]), np.concatenate([pairs.shown, near.shown])
    rows = table.take(pa.array(row))
    at = np.where(shown, log.time[row], moment[row])
    behaviour = np.concatenate([pairs.behaviour, near.behaviour])
    position = np.concatenate([pairs.position, near.position])
    positive = behaviour >= 0
    return pa.table(
        {
            "user_id": rows["user_id"],
            "request_id": pc.if_else(pa.array(shown), _list_ids(rows["request_id"]), rows["event_id"]),
            "item_id": pa.concat_arrays(
                [both.dictionary.take(pa.array(pairs.item)), names_of.take(pa.array(near.item))]
            ),
            "at": pa.array(at, UTC),
            "ahead": pa.array(~shown & (moment < log.time)[row]),
            "label": pa.array(positive.astype(np.float32)),
            "target": names.take(pa.array(behaviour, mask=~positive)),
            "outcomes": _named(np.concatenate([pairs.outcomes, near.outcomes]), names.take(pa.array(kinds.targets))),
            "draw_chance": pa.array(np.concatenate([pairs.chance, near.chance]), from_pandas=True),
            "position": pa.array(position, mask=position < 1),
        }
    )


def _log(table: pa.Table, item: I32, names: pa.StringArray) -> Log:
    """The events with their item codes [E]; `names` are those of the behaviours, in the order of the codes."""
    request = table["request_id"].combine_chunks().dictionary_encode()
    return Log(
        user=_runs(table["user_id"]),
        time=_micros(table["event_time"]),
        known=_micros(table["known"]),
        behaviour=pc.fill_null(pc.index_in(table["behaviour"], value_set=names), MISSING).to_numpy().astype(np.int8),
        item=item,
        request=pc.fill_null(request.indices, MISSING).to_numpy(zero_copy_only=False).astype(np.int32),
        position=pc.fill_null(table["position"], MISSING).to_numpy(),
        draw=table["draw"].to_numpy(),
    )


def _named(outcomes: Bool, names: pa.StringArray) -> pa.ListArray:
    """[M] lists of the `names` that are true in [M, T]."""
    offsets = np.append(0, np.cumsum(outcomes.sum(axis=1)))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), names.take(pa.array(np.nonzero(outcomes)[1])))


def _list_ids(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Ids of lists, told apart from those of events: a source may name a list by the event that it stands in."""
    return pc.binary_join_element_wise(pa.scalar("list"), ids, ":")


def _moments(log: Log, nightly: float) -> I64:
    """[E] when each event would be asked for: at its own time, or, for a share of them, up to a day before it.

    Lists are made for the moment and for the next day; the ranker has to know how both look. Any lag up to a day is as
    likely, as it is for a list that is made in the night and read on the day; more moments than the nights show more.
    """
    luck = uniform(log.draw, 2, MOMENTS)
    return np.where(luck[:, 0] < nightly, log.time - (luck[:, 1] * (LAG / MICROSECOND)).astype(np.int64), log.time)


def featured(table: pa.Table, encoder: Encoder, settings: Settings) -> pa.Table:
    """One table of whole users, each one's history (kind 0) before its pairs (kind 1) -> request_id ... features.

    With `ranker.attention` the columns of `recent.COLUMNS` follow.
    """
    users = _runs(table["user_id"])
    is_pair = table["kind"].to_numpy() == 1
    codes = pc.fill_null(table["category"].combine_chunks().dictionary_encode().indices, -1)
    category = codes.to_numpy(zero_copy_only=False).astype(np.int32)
    past, asked = table.filter(pa.array(~is_pair)), table.filter(pa.array(is_pair))
    offsets = np.searchsorted(users[~is_pair], np.arange(int(users[-1]) + 2)).astype(np.int64)
    behaviours = tuple(settings.behaviours)
    h = from_columns({name: past[name].combine_chunks() for name in FIELDS}, offsets, behaviours)
    request = _runs(pc.binary_join_element_wise(asked["user_id"], asked["event_id"], "\x00"))  # [M]
    first = np.unique(request, return_index=True)[1]
    r = Requests(
        user=users[is_pair][first],
        at=_micros(asked["event_time"])[first],
        ahead=asked["ahead"].to_numpy()[first],
        request=request,
        item=asked["item_id"].combine_chunks(),
        item_rows=_item_rows(asked["item_row"].combine_chunks(), len(item_features_of(settings.features))),
        positive=asked["label"].to_numpy() > 0,
        categories=_by_item(h, category[~is_pair]),
        pair_category=category[is_pair],
    )
    known = _micros(past["known"])
    seen, attention = settings.ranker.seen, settings.ranker.attention
    matrix, kept, recent = features(h, known, r, encoder, behaviours, settings.features, seen=seen, attention=attention)
    rows = asked.take(pa.array(kept))
    told = ["user_id", "item_id", "event_time", "label", "behaviour", "outcomes", "draw_chance", "position"]
    made = (
        rows.select(["event_id", *told])
        .rename_columns(["request_id", *("at" if name == "event_time" else name for name in told)])
        .append_column("features", list_column(matrix))
    )
    for name, column in (recent.to_arrow() if recent else {}).items():
        made = made.append_column(name, column)
    return made


def _runs(values: pa.ChunkedArray) -> I64:
    """Number of the run of equal neighbours that each row lies in, from 0."""
    codes = values.combine_chunks().dictionary_encode().indices.to_numpy()
    return np.cumsum(np.append(False, np.diff(codes) != 0)[: len(codes)]).astype(np.int64)


def _micros(times: pa.ChunkedArray) -> I64:
    return np.asarray(times.cast(UTC).cast(pa.int64()).to_numpy(), dtype=np.int64)


def _item_rows(rows: pa.ListArray, width: int) -> F32:
    """[M, Fi] item features; NULL values become NaN."""
    flat: F32 = pc.fill_null(rows.flatten(), np.nan).to_numpy()
    return flat.reshape(len(rows), width)


def _by_item(h: Histories, category: I32) -> I32:
    """[C] category code of each item of the histories' dictionary."""
    codes = np.full(len(h.items), -1, dtype=np.int32)
    named = h.item >= 0
    codes[h.item[named]] = category[named]
    return codes
