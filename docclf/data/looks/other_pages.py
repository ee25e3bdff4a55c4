"""In what test pages differ from training pages: position, sharpness, light, noise, size and shape."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docclf.data.cache.decoded import PageArray
from docclf.data.cache.store import remember
from docclf.data.dataset import DataSet
from docclf.data.formats import DECODER
from docclf.data.looks.duplicates import merge_groups
from docclf.data.looks.measures import VERSION, Values, measure_looks, measure_sizes, measure_turns

_MOST_PAGES = 500  # of each split that are looked at
_LEAST_PAGES = 20  # of each split, or nothing can be said
# Kolmogorov and Smirnov's distance that counts: large enough to matter, and beyond chance. By chance alone, one-sided,
# exp(-2 * 2.2**2), 1 comparison in 16,000 is as far off.
_LEAST_DISTANCE, _CHANCE = 0.15, 2.2


@dataclass(frozen=True)
class Sample:
    """Training and test pages that are compared, and what must stay together."""

    train: NDArray[np.int64]  # indices of training pages, in order
    test: NDArray[np.int64]  # indices of test pages, in order
    # a number for each of these pages, training pages first: pages of one group and near-duplicates share it
    groups: NDArray[np.int64]


def take_sample(data: DataSet) -> Sample | None:
    """Up to 500 training and 500 test pages, always the same; None where there are not 20 of each."""
    test = data.pages.test
    if test is None or data.test_images is None or min(len(data.pages.train), len(test)) < _LEAST_PAGES:
        return None
    n = len(data.pages.train)
    train, drawn = _draw(n), _draw(len(test))
    ours = data.pages.train.groups or [f"training page {i}" for i in range(n)]
    theirs = test.groups or [f"test page {i}" for i in range(len(test))]
    merged = merge_groups(n + len(test), [*ours, *theirs], data.pairs)
    groups = np.unique(merged, return_inverse=True)[1]
    return Sample(train, drawn, groups[np.concatenate([train, n + drawn])])


def _draw(n: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(0).permutation(n)[:_MOST_PAGES])


@dataclass(frozen=True)
class Kind:
    """In what pages may differ."""

    least: float  # mean difference that matters, in the unit of the statistic
    more: str = ""  # what test pages are called that have more of it; empty where that does no harm
    less: str = ""  # likewise, that have less of it
    key: str = ""  # of `augment`, which answers it; empty where none does
    unit: str = ""  # format of a median; empty where it says nothing to a reader


KINDS = {
    "turned": Kind(0.1, more="turned by quarters", key="quarter_turns"),
    "skew": Kind(1.0, more="skewed", key="degrees", unit="{:.1f}°"),
    "sharpness": Kind(0.08, less="blurred", key="blur", unit="{:.2f}"),
    "brightness": Kind(0.05, more="brighter", less="darker", key="brightness", unit="{:.2f}"),
    "shading": Kind(0.03, more="unevenly lit", key="shading", unit="{:.2f}"),
    "noise": Kind(0.001, more="noisy", key="noise", unit="{:.4f}"),
    "size": Kind(0.25, more="larger", less="smaller", unit="{:.0f} px"),
    "aspect": Kind(0.05, more="wider", less="narrower", unit="{:.2f}"),
}


@dataclass(frozen=True)
class Difference:
    """In what test pages differ from training pages."""

    kind: str  # a key of `KINDS`
    what: str  # what test pages are, in a word
    training: float  # median of the training pages; of `turned` the mean probability
    test: float  # of the test pages
    distance: float  # Kolmogorov and Smirnov's, in (0, 1]: at least so large a fraction of the test pages is different

    def __str__(self) -> str:
        """
        >>> str(Difference("skew", "skewed", 0.42, 6.13, 0.8))
        'skewed (6.1°, training pages 0.4°)'
        >>> str(Difference("turned", "turned by quarters", 0.2, 0.6, 0.48))
        'turned by quarters (about 48 %)'
        """
        unit = KINDS[self.kind].unit
        if not unit:
            return f"{self.what} (about {100 * self.distance:.0f} %)"
        return f"{self.what} ({unit.format(self.test)}, training pages {unit.format(self.training)})"


def find_differences(data: DataSet, sample: Sample, cache_dir: Path | None) -> list[Difference]:
    """In what the test pages of a sample differ from its training pages; remembered for the same pages.

    Args:
        cache_dir: Where what was computed is kept; None for the user's cache folder.
    """
    n, test = len(data.pages.train), data.pages.test
    assert test is not None
    rows = [*sample.train.tolist(), *(n + sample.test).tolist()]
    decoded = "x".join(map(str, data.train_images.array.shape[1:]))
    digests = (data.digests[row] for row in rows)
    facts = [VERSION, DECODER, decoded, len(sample.train), *digests, *sample.groups.tolist()]
    key = hashlib.sha256(" ".join(map(str, facts)).encode()).hexdigest()[:24]
    found = remember(cache_dir, f"differences-{key}", lambda: [asdict(one) for one in _find(data, sample)])
    return [Difference(**one) for one in found]


def _find(data: DataSet, sample: Sample) -> list[Difference]:
    assert data.test_images is not None and data.pages.test is not None
    pages = [data.train_images.take(sample.train), data.test_images.take(sample.test)]
    looks: list[dict[str, Values]] = [measure_looks(part, part.aspects) for part in pages]
    paths = ([data.pages.train.paths[row] for row in sample.train], [data.pages.test.paths[row] for row in sample.test])
    turns = measure_turns(pages[0], pages[1], sample.groups[: len(sample.train)])
    for i, part in enumerate(pages):
        looks[i] |= {"turned": turns[i]} if turns is not None else {}
        looks[i] |= {"size": measure_sizes(paths[i]), "aspect": np.log(_upright(part, turns))}
    differences = (compare(kind, looks[0][kind], looks[1][kind]) for kind in KINDS if kind in looks[0])
    return [difference for difference in differences if difference is not None]


def _upright(pages: PageArray, turns: Sequence[Values] | None) -> Values:
    """Aspect ratios, without what quarter turns do to them where there are some that training pages do not have."""
    aspects = pages.aspects.astype(np.float64)
    if turns is None or compare("turned", *turns) is None:
        return aspects
    return np.minimum(aspects, 1 / aspects)


def compare(kind: str, training: Values, test: Values) -> Difference | None:
    """How a statistic of test pages differs from that of training pages; None where it does not, or does no harm.

    Two conditions must hold in one direction, more or less: the distributions are further apart than samples of one
    would be, by Kolmogorov and Smirnov's one-sided distance, and what lies between them, the part of Wasserstein's
    distance in that direction, is large enough to matter. So a spread that grows both ways is seen too.

    Args:
        kind: A key of `KINDS`.
        training: Of the training pages, shape (n,); NaN where a page has none.
        test: Of the test pages, shape (m,).

    >>> found = compare("skew", np.linspace(0, 1, 100), np.linspace(0, 10, 100))
    >>> found.what, round(found.distance, 2)
    ('skewed', 0.9)
    >>> compare("skew", np.linspace(0, 10, 100), np.linspace(0, 1, 100))  # straight pages do no harm
    >>> compare("skew", np.linspace(0, 10, 100), np.linspace(0.1, 10.1, 100))
    """
    ours, theirs = np.sort(training[~np.isnan(training)]), np.sort(test[~np.isnan(test)])
    n, m = len(ours), len(theirs)
    if min(n, m) < _LEAST_PAGES:
        return None
    needed = max(_LEAST_DISTANCE, _CHANCE * np.sqrt(1 / n + 1 / m))
    values = np.sort(np.concatenate([ours, theirs]))
    lead = np.searchsorted(ours, values, "right") / n - np.searchsorted(theirs, values, "right") / m
    facts = KINDS[kind]
    for what, signed in ((facts.more, lead), (facts.less, -lead)):
        between = float((signed[:-1].clip(0) * np.diff(values)).sum())
        if what and signed.max() >= needed and between >= facts.least:
            middle = np.mean if kind == "turned" else np.median
            shown = {"size": np.exp2, "aspect": np.exp}.get(kind, float)
            return Difference(kind, what, float(shown(middle(ours))), float(shown(middle(theirs))), float(signed.max()))
    return None
