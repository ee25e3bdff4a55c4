"""The heads of one configuration, fold by fold, on features of all pages."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from docclf.data.module import PageDataModule
from docclf.models.feature_cache import FeatureCache, Features
from docclf.models.head import Head, HeadOptions, Reduced, fit_head, reduce

# Training pages of so many folds stay reduced in memory, for the next trials.
_REMEMBERED = 8
_reduced: OrderedDict[str, Reduced] = OrderedDict()


@dataclass(frozen=True)
class HeadFold:
    """A head of one fold.

    Attributes:
        head: Fitted to the training pages.
        probabilities: Of the validation pages, float32 of shape (n, n_classes).
        start: Fitted to the last features alone, as a net's classifier starts.
        clean: Probabilities of the validation pages as they are, where those are scored besides; else None.
    """

    head: Head
    probabilities: NDArray[np.float32]
    start: Head
    clean: NDArray[np.float32] | None = None


class Heads:
    """Fits heads to the training pages of folds.

    Args:
        data: All pages.
        cache: Features of the backbone.
        options: What a head sees, and how it is fitted.
        class_weights: Weight of each class in the loss; None weighs all alike.
    """

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

    def fold(self, train: NDArray[np.int64], validation: NDArray[np.int64], *, is_start: bool = False) -> HeadFold:
        """Fit the head of a fold.

        Args:
            train: Indices of the pages to fit to.
            validation: Indices of the pages to predict.
            is_start: Whether a net is to start from it; without, `start` is the head itself.
        """
        head = self.fit(train)
        probabilities = head.probabilities(self._validation.values[validation])
        clean = head.probabilities(self._train[0].values[validation]) if self.data.is_robust else None
        return HeadFold(head, probabilities, self.fit_start(train) if is_start else head, clean)

    def fit(self, rows: NDArray[np.int64]) -> Head:
        """A head for some training pages."""
        return self._fit(rows, "all", lambda features: (features.values[rows], features.weights))

    def fit_start(self, rows: NDArray[np.int64]) -> Head:
        """A head on the backbone's last features alone, at the full size."""
        n = self._train[0].n_last
        return self._fit(rows, "last", lambda features: (features.values[rows, :n], features.weights[:n]))

    def _fit(
        self,
        rows: NDArray[np.int64],
        kind: str,
        select: Callable[[Features], tuple[NDArray[np.float32], NDArray[np.float32]]],
    ) -> Head:
        identities = " ".join(features.identity for features in self._train)
        key = hashlib.sha256(f"{kind} {identities} ".encode() + rows.tobytes()).hexdigest()
        if key not in _reduced:
            parts = [select(features) for features in self._train]
            _reduced[key] = reduce(np.concatenate([values for values, _ in parts]), parts[0][1])
            while len(_reduced) > _REMEMBERED:
                _reduced.popitem(last=False)
        _reduced.move_to_end(key)
        labels = np.tile(self.data.labels[rows], len(self._train))
        n_classes = len(self.data.pages.class_names)
        return fit_head(_reduced[key], labels, n_classes, C=self.options.C, class_weights=self._class_weights)
