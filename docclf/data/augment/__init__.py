"""Augmentation: batches of pages as they might have been scanned or photographed."""
