"""Backbones, their weights, frozen features and heads."""
