"""The flow fits together: whatever a stage reads, an earlier one of the night has written."""

from __future__ import annotations

import runpy

import pytest

from recsys import flow, tables
from recsys.flow import BY_NAME, NIGHT, REGISTRY, SOURCE, STAGES, contract, diagram

NAMES = {table.name for table in tables.ALL}
STORES = {SOURCE, REGISTRY, "encoders", "report"}  # what is no table


def test_the_night_is_every_stage_once_and_in_order() -> None:
    assert list(NIGHT) == [stage.name for stage in STAGES] == list(BY_NAME)
    assert NIGHT[0] == "stream"
    assert NIGHT[-1] == "evaluate"


def test_what_a_stage_reads_was_written_before_it() -> None:
    written = {SOURCE, REGISTRY}  # the source comes from outside; the first night begins with an empty registry
    for stage in STAGES:
        assert set(stage.reads) <= written, stage.name
        written |= set(stage.writes)


def test_every_store_is_a_table_or_known_and_every_table_is_written() -> None:
    for stage in STAGES:
        assert set(stage.reads) | set(stage.writes) <= NAMES | STORES, stage.name
        assert len(set(stage.reads)) == len(stage.reads), stage.name
    written = {store for stage in STAGES for store in stage.writes}
    assert written >= NAMES - {tables.BATCHES.name}  # which every stage writes


def test_a_contract_is_the_stages_own() -> None:
    stage = BY_NAME["embed"]
    assert contract("embed") == {"name": "embed", "reads": stage.reads, "writes": stage.writes}
    with pytest.raises(KeyError, match="nothing"):
        contract("nothing")


def test_the_diagram_has_every_stage_store_and_arrow(capsys: pytest.CaptureFixture[str]) -> None:
    lines = diagram().splitlines()
    assert lines[0] == "flowchart LR"
    assert len(lines) == len(set(lines))
    assert '    embed_job["<b>embed</b><br/>vectors on executors"]' in lines
    for stage in STAGES:
        for store in stage.reads:
            assert {f"    {store}[({store})]", f"    {store} --> {stage.name}_job"} <= set(lines)
        for store in stage.writes:
            assert {f"    {store}[({store})]", f"    {stage.name}_job --> {store}"} <= set(lines)
    stores = {store for stage in STAGES for store in (*stage.reads, *stage.writes)}
    arrows = sum(len(stage.reads) + len(stage.writes) for stage in STAGES)
    assert len(lines) == 1 + len(stores) + len(STAGES) + arrows
    runpy.run_path(flow.__file__, run_name="__main__")
    assert capsys.readouterr().out == diagram()
