"""The `kbit` command. Its verbs stand in `kbit.cli.verbs`; what each does, in a module beside that folder."""

from kbit.cli.app import main
from kbit.cli.verbs import results, retrain, rules, study

VERBS = (study, results, rules, retrain)
"""Files of verbs: importing one adds its verbs to the command."""

__all__ = ["VERBS", "main"]
