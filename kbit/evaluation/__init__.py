"""Scoring: requests from lm-eval's tasks, log-likelihoods from our scorer, metrics from lm-eval again."""
