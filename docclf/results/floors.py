"""Floors: what simple classifiers score on the same folds. A model that scores less is not worth its training.

`result.yaml` holds them with all that is known of them, a trial's user attribute `floors` their means alone. What is
read of one has its `mean` macro-F1 over the folds, and where that is known the macro-F1 of all predictions `pooled` and
of each of the `folds`, `what` classifier it is and sees, and of how many `pages`, where it was measured on a sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docclf.results.facts import FLOORS, is_score, result_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

# Floor to what it is called in a list, the lowest first.
NAMES = {"pixels": "pixels", "features": "frozen features"}

Floor = Mapping[str, Any]
_KNOWN = ("pooled", "folds", "what", "pages")


def read_floors(value: Any) -> dict[str, Floor]:
    """Floors from `result.yaml` or a user attribute, the lowest kind first; what is damaged is left out.

    >>> read_floors({"features": {"mean": 0.92, "pooled": 0.91, "folds": [0.9, 0.94], "seconds": 1.1}, "pixels": 0.4})
    {'pixels': {'mean': 0.4}, 'features': {'mean': 0.92, 'pooled': 0.91, 'folds': [0.9, 0.94]}}
    >>> read_floors({"pixels": "none", "features": {"pooled": 0.9}, "of": 3}), read_floors(None)
    ({}, {})
    """
    given = value if isinstance(value, Mapping) else {}
    found: dict[str, Floor] = {}
    for name in NAMES:
        facts = given.get(name)
        facts = facts if isinstance(facts, Mapping) else {"mean": facts}
        if is_score(facts.get("mean")):
            known = {key: facts[key] for key in _KNOWN if facts.get(key)}
            found[name] = {"mean": float(facts["mean"]), **known}
    return found


def floors_of(trial: FrozenTrial, run: Path | None) -> dict[str, Floor]:
    """Floors on the folds of a trial: from its `result.yaml`, or the means that the study has; empty without any.

    Args:
        run: Folder of its run; None where there is none.
    """
    found = read_floors(result_of(run).get(FLOORS))
    return found or read_floors(trial.user_attrs.get(FLOORS))


def best_floor(floors: Mapping[str, Floor]) -> str | None:
    """Name of the highest floor; None without any.

    >>> best_floor({"pixels": {"mean": 0.4}, "features": {"mean": 0.9}}), best_floor({})
    ('features', None)
    """
    return max(floors, key=lambda name: floors[name]["mean"], default=None)


def is_below(score: float, floors: Mapping[str, Floor]) -> bool:
    """Whether a mean macro-F1 is less than the highest floor; never without floors, or of NaN."""
    name = best_floor(floors)
    return name is not None and bool(score < floors[name]["mean"])


def classifier(name: str) -> str:
    """
    >>> classifier("features")
    'logistic regression on frozen features'
    """
    return f"logistic regression on {NAMES[name]}"


def below_text(who: str, score: float, floors: Mapping[str, Floor]) -> str:
    """What stands above everything else where a score is below the highest floor.

    >>> below_text("the best trial", 0.88, {"features": {"mean": 0.921}})
    'Below a floor: the best trial has 0.880, logistic regression on frozen features 0.921'
    >>> below_text("this run", 0.92071, {"features": {"mean": 0.92112, "pages": 5000}})
    'Below a floor: this run has 0.9207, logistic regression on frozen features 0.9211 (on 5,000 of the pages)'
    """
    name = best_floor(floors)
    assert name is not None
    mean = floors[name]["mean"]
    digits = 3 if f"{score:.3f}" != f"{mean:.3f}" else 4
    return (
        f"Below a floor: {who} has {score:.{digits}f}, {classifier(name)} {mean:.{digits}f}"
        f"{_sampled(floors[name], ' (on {} of the pages)')}"
    )


def search_warning(number: int, score: float, floors: Mapping[str, Floor], *, is_replaced: bool) -> str:
    """What a search tells first where its best trial is below a floor; empty where it is not.

    Args:
        score: The best trial's mean macro-F1 on the folds of the floors.
        is_replaced: Whether the floor's classifier is exported in its place.

    >>> search_warning(3, 0.88, {"features": {"mean": 0.921}}, is_replaced=True)
    'Below a floor: the best trial (3) has 0.880, logistic regression on frozen features 0.921. Exported is the latter.'
    >>> search_warning(3, 0.95, {"features": {"mean": 0.921}}, is_replaced=False)
    ''
    """
    if not is_below(score, floors):
        return ""
    exported = "the latter" if is_replaced else f"trial {number} all the same"
    return f"{below_text(f'the best trial ({number})', score, floors)}. Exported is {exported}."


def floors_text(floors: Mapping[str, Floor]) -> str:
    """
    >>> floors_text({"pixels": {"mean": 0.412}, "features": {"mean": 0.921, "pages": 5000}})
    'pixels 0.412, frozen features 0.921 (5,000 pages)'
    """
    return ", ".join(f"{NAMES[name]} {f['mean']:.3f}{_sampled(f, ' ({} pages)')}" for name, f in floors.items())


def _sampled(floor: Floor, text: str) -> str:
    return text.format(f"{floor['pages']:,}") if "pages" in floor else ""


def remedies(floors: Mapping[str, Floor], tune: str | None) -> str:
    """What to change where a score is below the highest floor.

    Args:
        tune: What was trained: `head`, `last` or `all`; None where that is not known.

    >>> remedies({"features": {"mean": 0.9}}, "all")
    'Try model.tune=head, more epochs (validation.epochs), or larger pages (data.image_size)'
    """
    if best_floor(floors) == "pixels":
        return (
            "It learns less than a thumbnail shows: check the pages (python -m docclf.data), then try a lower learning "
            "rate (optimizer.lr), more epochs (validation.epochs) or trained weights (model.pretrained=auto)"
        )
    if tune == "head":
        return "Try larger pages (data.image_size), another model (model.name) or model.tune=last"
    return "Try model.tune=head, more epochs (validation.epochs), or larger pages (data.image_size)"


def floor_lines(floors: Mapping[str, Any], score: float, *, tune: str | None = None) -> list[str]:
    """Lines for the screen at the end of a run; none where there are no floors.

    Args:
        floors: As in `result.yaml`.
        score: Mean macro-F1 over the same folds.
        tune: What was trained: `head`, `last` or `all`.

    >>> floor_lines({"pixels": {"mean": 0.412}, "features": {"mean": 0.921}}, 0.95)
    ['floors (same folds): pixels 0.412, frozen features 0.921']
    >>> for line in floor_lines({"pixels": {"mean": 0.412}, "features": {"mean": 0.921}}, 0.88, tune="head"):
    ...     print(line)
    Below a floor: this run has 0.880, logistic regression on frozen features 0.921. Try larger pages \
(data.image_size), another model (model.name) or model.tune=last.
    floors (same folds): pixels 0.412, frozen features 0.921
    >>> floor_lines({}, 0.95)
    []
    """
    found = read_floors(floors)
    name = best_floor(found)
    if name is None:
        return []
    below = f"{below_text('this run', score, found)}. {remedies(found, tune)}." if is_below(score, found) else None
    return [*([below] if below else []), f"floors (same folds): {floors_text(found)}"]
