"""Resuming: whatever happens to a run, its counts are those of a single clean run."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from eval.row_progress import RowProgress
from eval.run import evaluate
from eval.runs import Run, read_run
from eval.shards import Shard
from tests.helpers.folder_rows import KMEANS, dataset_of, row_config, write_picture

PICTURES = [f"p{number}" for number in range(5)]
ROWS = (KMEANS, {**KMEANS, "clusters": 3})


class Killed(BaseException):
    """Ends a run in the middle of a record, as SIGKILL does."""


class Resuming(RuleBasedStateMachine):
    """Runs on five pictures and two rows: killed, torn, sharded, with failing pictures, in batches, resumed."""

    @initialize()
    def begin(self) -> None:
        self.home = Path(tempfile.mkdtemp())
        self.folder, self.data = self.home / "results", self.home / "data"
        for number, id in enumerate(PICTURES):
            write_picture(self.data, id, classes=1 + number % 3)
        self.clean = self._counts(self._run(self.home / "clean"))
        self.broken: set[str] = set()

    def teardown(self) -> None:
        if hasattr(self, "home"):
            shutil.rmtree(self.home)

    def _run(self, folder: Path, shard: Shard = Shard(), batch: int = 1, records: int | None = None) -> Run:  # noqa: B008
        """Evaluates both rows; kills the run after a number of records, in the middle of the next line."""
        rows = [row_config(dataset_of(self.data), segmenter) for segmenter in ROWS]
        for row in rows:
            row.prepare()
        written = 0

        def count(record: Any) -> None:
            nonlocal written
            written += 1
            if records is not None and written > records:
                raise Killed

        with Run.open(folder, rows, ["a command"], shard.number) as run:
            progress = [RowProgress(row, run, frozenset(PICTURES), on_record=count) for row in rows]
            evaluate(progress, "cpu", shard, batch)
        return read_run(folder)

    @staticmethod
    def _counts(run: Run) -> dict[tuple[str, str], Any]:
        return {
            (row.key, record.picture): (record.stored_tables, record.segments)
            for row in run.rows
            for record in row.evaluated
        }

    @rule(records=st.integers(0, 9), batch=st.integers(1, 3))
    def kill(self, records: int, batch: int) -> None:
        with suppress(Killed):
            self._run(self.folder, batch=batch, records=records)

    @rule(index=st.integers(0, 1), batch=st.integers(1, 3))
    def run_a_shard(self, index: int, batch: int) -> None:
        self._run(self.folder, Shard(index, 2, alone=True), batch)

    @rule(batch=st.integers(1, 3))
    def resume(self, batch: int) -> None:
        run = self._run(self.folder, batch=batch)
        assert {record.picture for row in run.rows for record in row.failed} == self.broken
        assert self._counts(run) == {pair: value for pair, value in self.clean.items() if pair[1] not in self.broken}

    @precondition(lambda self: self.folder.exists())
    @rule(cut=st.integers(1, 40))
    def tear_the_last_line(self, cut: int) -> None:
        path = self.folder / "records.jsonl"
        if path.is_file():
            lines = path.read_bytes()
            last = lines.rfind(b"\n", 0, len(lines) - 1) + 1
            path.write_bytes(lines[: max(last, len(lines) - cut)])

    @rule(id=st.sampled_from(PICTURES))
    def break_a_picture(self, id: str) -> None:
        (self.data / "maps" / f"{id}.png").write_bytes(b"no picture")
        self.broken.add(id)

    @rule(id=st.sampled_from(PICTURES))
    def mend_a_picture(self, id: str) -> None:
        write_picture(self.data, id, classes=1 + PICTURES.index(id) % 3)
        self.broken.discard(id)

    @invariant()
    def no_count_differs_from_a_clean_run(self) -> None:
        if any(self.folder.glob("records*.jsonl")):
            assert self._counts(read_run(self.folder)).items() <= self.clean.items()


TestResuming = Resuming.TestCase
TestResuming.settings = settings(
    max_examples=15, stateful_step_count=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
