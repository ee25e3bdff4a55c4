"""The heads of one configuration, fold by fold, on features of all pages."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docclf import n_cores
from docclf.data.folds import assign_folds
from docclf.data.module import PageDataModule
from docclf.errors import DataError
from docclf.metrics.scores import macro_f1
from docclf.models.frozen.cache import FeatureCache, Features, UnwantedPassError
from docclf.models.frozen.head import Fits, Head, HeadOptions, Reduced, fit_head, one_thread, reduce
from docclf.models.frozen.novelty import Floats, Novelty, fit_novelty

# Training pages stay reduced in memory for the next trials, up to so many bytes, with the fits that others start from.
_MOST_BYTES = 2**29
_remembered: OrderedDict[str, tuple[Reduced, Fits]] = OrderedDict()


@dataclass(frozen=True)
class HeadFold:
    """What the head of one fold predicts."""

    probabilities: NDArray[np.float32]  # of the validation pages, float32 of shape (n, n_classes)
    # of the validation pages as they are, where those are scored besides; else None
    clean: NDArray[np.float32] | None = None


class Heads:
    """Fits heads to the training pages of folds; without class weights, all classes weigh alike."""

    def __init__(
        self,
        data: PageDataModule,
        cache: FeatureCache,
        options: HeadOptions,
        class_weights: NDArray[np.float64] | None = None,
    ) -> None:
        self.data, self.cache, self.options, self._class_weights = data, cache, options, class_weights

    @cached_property
    def _train(self) -> list[Features]:
        """Features of the training pages as they are, and of their augmented views."""
        views = [
            self.data.train_views,
            *(self.data.augmented_views(seed) for seed in range(1, (self.options.views or 0) + 1)),
        ]
        return [self.cache.load(view, self.options) for view in views]

    @cached_property
    def _validation(self) -> Features:
        if self.data.validation_augment is None:
            return self._train[0]
        return self.cache.load(self.data.validation_views, self.options)

    @property
    def n_features(self) -> int:
        """How many numbers a head takes."""
        return int(self._train[0].values.shape[1])

    def folds(
        self, assignment: NDArray[np.int64], n_folds: int, among: NDArray[np.int64] | None = None
    ) -> Iterator[tuple[NDArray[np.int64], HeadFold]]:
        """Fit the heads of the first folds, several at once, a thread each.

        Args:
            assignment: Fold of each training page, shape (n,).
            among: Indices of the pages that count; None for all.

        Yields:
            Of each fold the indices of its validation pages, and what its head predicts.

        Raises:
            UnwantedPassError: As passes over the pages do; asked between rounds of as many folds as there are threads.
        """
        _ = self._train, self._validation  # read once, before the threads
        rows = np.arange(len(assignment)) if among is None else among
        splits = [(rows[assignment[rows] != fold], rows[assignment[rows] == fold]) for fold in range(n_folds)]
        n = n_cores()
        for start in range(0, n_folds, n):
            if start and not self.cache.is_wanted():
                raise UnwantedPassError
            some = splits[start : start + n]
            ready = [self._reduced(train) for train, _ in some]  # which takes all threads
            with one_thread(), ThreadPoolExecutor(n, initializer=one_thread) as pool:
                found = list(pool.map(lambda split, reduced: self.fold(split[0], split[1], reduced), some, ready))
            ready.clear()  # before those of the next round
            yield from zip((validation for _, validation in some), found, strict=True)

    @property
    def passes(self) -> dict[str, int]:
        """Forward passes that predicting a page takes: all that its features depend on, to operations."""
        backbone, views = self.cache.backbone, self.data.train_views
        seen = f"{views.images.array.shape[1]} to {views.image_size} letterbox {views.letterbox}"
        sides = backbone.sides(self.options.scales)
        return {f"{backbone.identity} {seen} at {side}": self.cache.flops(side) for side in sides}

    def fold(
        self, train: NDArray[np.int64], validation: NDArray[np.int64], reduced: tuple[Reduced, Fits] | None = None
    ) -> HeadFold:
        """Fit the head of a fold.

        Args:
            train: Indices of the pages to fit to.
            validation: Indices of the pages to predict.
            reduced: The former, see `fit`.
        """
        head = self.fit(train, reduced=reduced)
        probabilities = head.probabilities(self._validation.values[validation])
        clean = head.probabilities(self._train[0].values[validation]) if self.data.is_robust else None
        return HeadFold(probabilities, clean)

    def predict(
        self, assignment: NDArray[np.int64], n_folds: int, among: NDArray[np.int64] | None = None
    ) -> NDArray[np.int64]:
        """Class of each page out of fold, shape (n,); -1 where there is none. Arguments as for `folds`."""
        predicted = np.full(len(assignment), -1)
        for rows, fold in self.folds(assignment, n_folds, among):
            predicted[rows] = fold.probabilities.argmax(axis=1)
        return predicted

    def _score(self, assignment: NDArray[np.int64]) -> float:
        predicted = self.predict(assignment, int(assignment.max()) + 1)
        return macro_f1(self.data.labels, predicted, len(self.data.pages.class_names))

    def gain_of_folds(self, assignment: NDArray[np.int64]) -> float:
        """How much better heads score with more folds, whose heads see more of the pages: up to twice as many.

        At least 0, and 0 where there are too few pages of a class for more. Measured at the nearest power of ten for C,
        which is fitted for other heads too.
        """
        strength = 10.0 ** round(math.log10(self.options.C))
        heads = Heads(self.data, self.cache, replace(self.options, C=strength), self._class_weights)
        pages, n = self.data.pages, int(assignment.max()) + 1
        options: dict[str, Any] = {"seed": 0, "class_names": pages.class_names, "groups": pages.train.groups}
        for more in range(2 * n, n, -1):
            with suppress(DataError):
                folds = assign_folds(self.data.labels, n_folds=more, **options)
                return max(heads._score(folds) - heads._score(assignment), 0.0)
        return 0.0

    def fit_start(self, rows: NDArray[np.int64]) -> Head:
        """A head on the backbone's last features alone, at the first of `scales`: the full size, where that is one."""
        return self.fit(rows, self._train[0].n_last)

    def fit_novelty(self, folds: NDArray[np.int64], confidence: NDArray[np.float32]) -> tuple[Novelty, Floats]:
        """What tells pages that are unlike the training pages, see `docclf.models.frozen.novelty.fit_novelty`."""
        train = np.concatenate([features.values for features in self._train])
        return fit_novelty(train, self._validation.values, self.data.labels, folds, confidence)

    def fit(
        self, rows: NDArray[np.int64], n_features: int | None = None, reduced: tuple[Reduced, Fits] | None = None
    ) -> Head:
        """A head for some training pages, on all features or the first ones.

        Args:
            reduced: These pages reduced and the fits to them so far; None where the caller does not hold them.
        """
        labels, n_classes = np.tile(self.data.labels[rows], len(self._train)), len(self.data.pages.class_names)
        pages, known = reduced or self._reduced(rows, n_features)
        features = pages.coordinates if pages.pivots is None else self._values(rows, n_features)
        fitted: dict[str, Any] = {"reduced": pages, "class_weights": self._class_weights, "known": known}
        return fit_head(features, labels, n_classes, C=self.options.C, **fitted)

    def _values(self, rows: NDArray[np.int64], n_features: int | None) -> NDArray[np.float32]:
        values = np.concatenate([features.values[rows, :n_features] for features in self._train])
        if n_features is None or not self.options.sqrt:
            return values
        return np.asarray(values * np.abs(values), np.float32)  # as the net that starts from the head computes them

    def _reduced(self, rows: NDArray[np.int64], n_features: int | None = None) -> tuple[Reduced, Fits]:
        """Some training pages reduced, all features of them or the first ones, and the fits to them so far."""
        identities = " ".join(features.identity for features in self._train)
        weights = [] if self._class_weights is None else [self._class_weights]
        facts = b" ".join(one.tobytes() for one in (rows, self.data.labels[rows], *weights))
        key = hashlib.sha256(f"{n_features} {identities} ".encode() + facts).hexdigest()
        if (found := _remembered.pop(key, None)) is None:
            found = reduce(self._values(rows, n_features), self._train[0].weights[:n_features]), {}
        _remembered[key] = found  # the last one that was used
        while len(_remembered) > 1 and sum(reduced.n_bytes for reduced, _ in list(_remembered.values())) > _MOST_BYTES:
            _remembered.popitem(last=False)
        return found
