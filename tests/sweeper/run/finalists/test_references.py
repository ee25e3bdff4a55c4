"""Floors and other references that are re-evaluated beside the finalists."""

from typing import Any

import pytest
from slowly import slowly
from toy_finalists import AGAIN, finalists

from docclf.sweeper.study.finalists import scored, source_number

BETTER = ("--config-name", "climb", *AGAIN, "hydra.sweeper.finalists.top_k=1", "floors={far: 9, near: 0.01, best: 0}")
REFERENCES = "hydra.sweeper.finalists.references={far: {note: far}, near: {shape: square, x: -0.2, note: near}}"


@pytest.mark.slow
def test_the_reference_that_the_winner_falls_behind_is_made_of_that_winner(toy: Any) -> None:
    output = toy.run(*BETTER, REFERENCES).output
    *others, reference = finalists(toy)
    assert [t.user_attrs.get("reference") for t in others] == [None] * len(others)
    assert reference.user_attrs["reference"] == "near", "far is worse, and best is none of the references"
    winner = next(t for t in scored(toy.study) if t.number != reference.number)
    assert winner.params["n"] == 2
    assert reference.params == {"shape": "square", "n": 2, "x": -0.2}, "the colour belongs to round shapes"
    config = toy.config(f"finalists/{reference.number}")
    assert (config.note, config.steps, config.shape.centre, config.colour) == ("near", 2, -0.3, "green")
    assert reference.user_attrs["finalist"] == f"{source_number(winner)}/near steps=2"
    assert "finalist 2/3  reference near: n=2 shape=square x=-0.2" in output


@pytest.mark.slow
def test_the_best_reference_takes_part_like_any_finalist_and_is_scored_once(toy: Any) -> None:
    command = (*BETTER, "hydra.sweeper.finalists.references={near: {x: 0.3, n: 2, colour: blue}}")
    toy.run(*command)
    assert scored(toy.study)[0].user_attrs["reference"] == "near" and scored(toy.study)[0].value == pytest.approx(0.0)
    assert scored(toy.study)[0].params == {"shape": "round", "n": 2, "colour": "blue"}, "x goes to the job alone"
    n = len(finalists(toy))
    toy.run(*command)
    assert len(finalists(toy)) == n


@pytest.mark.slow
def test_a_killed_reference_is_scored_again(toy: Any) -> None:
    command = (*BETTER, REFERENCES, "hydra.sweeper.finalists.overrides={steps: 5}")
    toy.run(*command, "signal_at=[2, 4]", code=-9)
    assert [t.state.name for t in finalists(toy)] == ["COMPLETE", "COMPLETE", "RUNNING"]
    assert len(scored(toy.study)) == 2, "what was scored before it counts"
    toy.run(*command)
    dead, again = finalists(toy)[2:]
    assert (again.state.name, again.user_attrs["retry_of"]) == ("COMPLETE", 2)
    assert again.params == dead.params and again.user_attrs["reference"] == "near"
    assert again in scored(toy.study)


@pytest.mark.slow
def test_no_reference_runs_where_the_winner_is_better_or_nobody_is_scored_again(toy: Any) -> None:
    toy.run(*AGAIN, "floors={far: 9}", "hydra.sweeper.finalists.references={far: {note: far}}")
    assert not any("reference" in t.user_attrs for t in finalists(toy))
    more = ("hydra.sweep.dir=multirun/other", "hydra.sweeper.finalists.top_k=0")
    toy.run(*BETTER, REFERENCES, *more)
    assert not (toy.cwd / "multirun" / "other" / "finalists").exists()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("{near: {notes: far}}", "Expected finalists to compose, but with"),
        *slowly(
            ("{near it: {note: far}}", "to map names without spaces to overrides"),
            ("{near: far}", "as in {nearest: {model.tune: head}}, got near: far."),
        ),
    ],
)
def test_a_reference_that_cannot_be_is_refused(given: str, expected: str, toy: Any) -> None:
    output = toy.run(*AGAIN, f"hydra.sweeper.finalists.references={given}", code=1).output
    assert expected in output and "Traceback" not in output
