"""The best trials re-evaluated on other folds than those that they were chosen by: what wins there wins for a reason.

The best of 20 noisy scores is mostly lucky. So the best few and the baseline run again as jobs, with overrides that
give each a fresh score, in a study of their own beside the search's: continued, retried and resumed like any trial.
"""
