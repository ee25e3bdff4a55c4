"""How good predictions are: evaluation, calibration, comparison of two runs, suspected labels."""
