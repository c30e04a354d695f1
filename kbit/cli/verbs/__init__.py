"""The verbs, one file per group of `kbit --help`. Imports stand inside the functions, so that it answers at once."""
