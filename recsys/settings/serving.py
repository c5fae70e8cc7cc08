"""Settings of the server and the online store."""

from __future__ import annotations

from pydantic import Field

from recsys.settings.section import Section


class ServingSettings(Section):
    """The server that answers requests from the registry's champion."""

    host: str = Field("127.0.0.1", description="address to listen at; others than this machine need another one")
    port: int = Field(8470, ge=0, le=65_535, description="port to listen at; 0: any free one")
    store: str = Field("", description="online store: a file or redis://...; empty: online.db under artifacts")
    raw_ids: bool = Field(True, description="requests carry the source's user ids; false: their pseudonyms")
    poll_s: float = Field(10, gt=0, description="seconds between two looks at the registry's alias")
    max_age_h: float = Field(168, gt=0, description="hours of the item snapshot beyond which answers are degraded")
    budget_ms: float = Field(0, ge=0, description="an answer's time, waiting included, that trims candidates; 0: none")
    least_candidates: int = Field(50, ge=1, description="the budget trims to no fewer candidates")
    cache_s: float = Field(0, ge=0, description="seconds in which the same behaviours get the same list again; 0: none")
    cache_answers: int = Field(10_000, ge=1, description="lists kept for that at most")
    refuse_unknown: bool = Field(True, description="refuse histories none of whose items is in the bundle")
    max_body_kb: int = Field(1024, ge=1, description="largest body of a request")
    connections: int = Field(512, ge=1, description="connections at a time; the next is answered with 503")
