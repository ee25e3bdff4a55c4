"""Augmentation: batches of pages as they might have been scanned or photographed."""

from docclf.data.augment.batch import BatchAugment as BatchAugment
