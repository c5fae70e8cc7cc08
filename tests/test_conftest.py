from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
ROOT = Path(__file__).resolve().parent.parent


def test_a_test_that_starts_java_unmarked_fails(pytester: pytest.Pytester) -> None:
    pytester.makeconftest((ROOT / "tests" / "conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile(
        """
        import pytest
        from pyspark import SparkContext

        @pytest.mark.spark
        def test_marked(monkeypatch):
            monkeypatch.setattr(SparkContext, "_gateway", object())

        def test_quiet():
            pass

        def test_unmarked():
            SparkContext._gateway = object()
        """
    )
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--strict-markers", "-o", "markers=spark\ncluster")
    done.assert_outcomes(passed=3, errors=1)
    done.stdout.fnmatch_lines(["*test_unmarked started a JVM*"])
