"""Scores, their intervals, and calibration."""
