"""The nouns of a study, torch-free: study, model, task, quantization spec, cell, row."""
