"""How the page names columns and switches."""

COLUMN_LABELS = {
    "family": "family",
    "model": "model",
    "spec": "quantization",
    "data_type": "data type",
    "codebook": "data type",
    "selection": "specs",
    "parameters": "parameters",
    "tokens_seen": "tokens seen",
    "bits": "bits k",
    "exponent_bits": "exponent bits E",
    "block_size": "block size",
    "bits_per_param": "bits per parameter",
    "body_bits": "body bits",
    "total_bits": "total model bits",
    "accuracy": "mean zero-shot accuracy",
    "accuracy_stderr": "its standard error",
    "accuracy_change": "accuracy minus 16-bit",
    "n_tasks": "tasks in the mean",
    "loss": "loss, nats per byte",
    "loss_change": "loss minus 16-bit",
    "share": "share won",
    "share_low": "95 % from",
    "share_high": "95 % to",
    "win_rate": "resamples won",
    "gap_to_best": "mean gap to the best",
    "difference": "minus int4-b64",
    "items_low": "95 % over items from",
    "items_high": "95 % over items to",
    "models_low": "95 % over models from",
    "models_high": "95 % over models to",
    "fit": "fit",
    "task_set": "tasks",
    "bit_accounting": "bit accounting",
    "level": "level",
    "n": "points n",
    "loss_stderr": "standard error of the loss",
    "option": "option",
    "kl_divergence": "KL divergence from 16 bits, nats per token",
    "fitted_total_bits": "power law, total model bits",
    "fitted_body_bits": "power law, body bits",
    "residual_total_bits": "above it, % (total)",
    "residual_body_bits": "above it, % (body)",
}

SHORT = {"loss": "loss", "accuracy": "accuracy", "total_bits": "total", "body_bits": "body"}
"""Labels of the switches in the bar."""

HINTS = {
    "total_bits": "Everything a quantized model stores, 16-bit embeddings included",
    "body_bits": "The quantized linear layers alone: codes, scales, codebooks",
}

FIT_LABELS = {"nats_per_byte": "loss", "mean_zero_shot_accuracy": "mean zero-shot accuracy"}
"""Metric as the fits name it -> in words."""
