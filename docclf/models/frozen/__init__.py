"""Frozen features and what is fitted on them: heads, floors, how unlike pages are."""
