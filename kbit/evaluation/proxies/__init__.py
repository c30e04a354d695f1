"""Proxy tasks: the paper's four formats and perplexity, built from the corpus's held-out text.

They are no benchmarks. They exist so that a study needs no hub: every item is cut from the test split of
`data/corpus/` by a rule, and every choice a rule leaves open is made by a digest of (task, run, sentence), so
the same corpus gives the same bytes on any machine. `data/tasks/README.md` describes them for their users.
"""

from kbit.evaluation.proxies.build import PROXIES, build_tasks

__all__ = ["PROXIES", "build_tasks"]
