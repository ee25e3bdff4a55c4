"""A search starts from what another one has found."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Searched = tuple[Any, str]


def test_an_exported_file_of_parameters_is_tried_after_the_baseline(
    searched: Searched, make_search: Callable[..., Any], tmp_path: Path
) -> None:
    source, search = searched[0], make_search(tmp_path)
    best = source.read("best/params.yaml")
    search.run(f"search.enqueue=['{source.folder / 'best' / 'params.yaml'}','optimizer.lr=2e-3']", "search.n_trials=3")
    first, second, third = search.trials
    assert first.params == source.trials[0].params and first.user_attrs["role"] == "baseline"
    assert second.params == best and "enqueued" in second.user_attrs
    assert third.params["optimizer.lr"] == 2e-3, "the rest is drawn"
    if second.state.name == "COMPLETE":
        assert second.value == source.study.best_value


@pytest.mark.parametrize("how", ["best", "all"])
def test_another_search_is_what_a_new_one_starts_from(
    searched: Searched, make_search: Callable[..., Any], tmp_path: Path, how: str
) -> None:
    source, search = searched[0], make_search(tmp_path, "다음 검색")
    output = search.run(
        f"search.warm_start_from='{source.folder}'", f"search.warm_start={how}", "search.n_trials=2",
        "optimizer.lr=tag(log, interval(1e-9, 1))",
    )  # fmt: skip
    complete = source.states.count("COMPLETE")
    assert f"Starting from study search: {complete} of its {complete} trials fit the space" in output
    assert len(search.trials) == 2, "what was learned elsewhere is no trial of this one"
    assert (search.trials[1].params == source.study.best_trial.params) is (how == "best")
