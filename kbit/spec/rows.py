"""The row: what every cell leaves behind. Column by column: type, unit, meaning, when null.

`docs/rows.md` is generated from here. No row names a study, a model's display name or a path: those
belong to a study and are joined when its tables are built.

A row is measured by this software, or published: taken from a table of others (docs/importing-results.md), which does
not say how it was computed in the words of the columns here. Columns with null=PUBLISHED are null there and only there.
"""

from dataclasses import dataclass

ROW_VERSION = 4
"""Raised when a column is added or changes. Readers fill columns that older parts lack with null."""

STATUSES = ("ok", "collapsed", "unsupported", "crashed", "failed")
"""All are final but `failed`, which is tried again whenever its shard runs."""
FINAL_STATUSES = ("ok", "collapsed", "unsupported", "crashed")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the row schema."""

    name: str
    type: str
    """string, bool, int32, int64, float32, float64, list<float32>, list<bool>,
    or metrics: list<struct<name, value, stderr, n>>."""
    description: str
    unit: str = ""
    null: str = "never"
    """When the value is null."""


UNSCORED = "the cell has no scores (status unsupported, crashed or failed)"
SOURCE_PUBLISHED = "published"
"""What the column source says of a published row."""
PUBLISHED = "the row is published"
OLDER = "written before row version 2"
OLDER_OR = "written before row version 3, or"
UNQUANTIZED = "the model was not quantized (status unsupported, crashed, or failed in quantizing)"
UNSTATED = "the publication does not say"
UNCALIBRATED = "the solver is not calibrated, or written before row version 4"

COLUMNS: tuple[Column, ...] = (
    Column("cell_id", "string", "Identity of the cell: digest of all that can change its score."),
    Column("source", "string", "published: taken from a table of others.", null="measured by kbit"),
    Column("publication", "string", "Name of that table's description.", null="measured by kbit"),
    Column(
        "model_id",
        "string",
        "Identity of the weights: hub id @ revision, or digest of local files; of a published row what its table calls "
        "the model.",
    ),
    Column("spec", "string", "Slug of the quantization spec."),
    Column("data_type", "string", "Codebook family, or a publication's word for it; none is the 16-bit control."),
    Column("bits", "int32", "Width k of a code.", unit="bits"),
    Column("exponent_bits", "int32", "Exponent bits E of a float.", unit="bits", null="the data type has none"),
    Column(
        "block_size",
        "string",
        "Consecutive weights that share one absmax: a number, row or tensor.",
        null="16-bit control",
    ),
    Column("centered", "string", "Mean subtracted before quantizing: none, tensor, block."),
    Column("outlier_fraction", "float64", "Share of input dimensions kept at 16 bits."),
    Column("outlier_rule", "string", "How they are chosen.", null="outlier_fraction is 0"),
    Column("scale_format", "string", "How an absmax is stored.", null="16-bit control"),
    Column("solver", "string", "How codes are chosen.", null="16-bit control"),
    Column("rotation", "string", "Rotation of the input axis."),
    Column(
        "damping",
        "float64",
        "Of solver gptq: share of the mean of the second moments' diagonal that is added to it.",
        null=UNCALIBRATED,
    ),
    Column(
        "act_order",
        "bool",
        "Of solver gptq: whether inputs of the largest mean square came first.",
        null=UNCALIBRATED,
    ),
    Column(
        "calibration",
        "string",
        "Text that the solver was shown: sequences x tokens of each - digest of these and of the text.",
        null=UNCALIBRATED,
    ),
    Column("task", "string", "Name of the task."),
    Column(
        "task_identity",
        "string",
        "Digest of the task's definition, data and item limit, and of divergence if asked for.",
    ),
    Column("item_limit", "int32", "Items scored at most.", null="all items are scored"),
    Column("requests", "string", "Digest of the requests file that holds items and their order.", null=PUBLISHED),
    Column("dtype", "string", "Compute dtype.", null=PUBLISHED),
    Column("status", "string", "ok, collapsed (non-finite logits: a result), unsupported, crashed, failed."),
    Column("error", "string", "What went wrong.", null="status is ok"),
    Column(
        "metrics",
        "metrics",
        "Metrics of the task: name, value (null if not finite), standard error (null if unknown), items n. Where "
        "divergence is measured, also the distance from the model's own 16-bit run, with n tokens "
        "(kbit/evaluation/divergence.py).",
        null=UNSCORED,
    ),
    Column(
        "samples",
        "list<float32>",
        "Log-likelihood of every request, in the order of the requests file.",
        unit="nats",
        null=f"{UNSCORED}, or {PUBLISHED}",
    ),
    Column(
        "greedy",
        "list<bool>",
        "Whether every token scored of a request is the most likely one, in the order of samples; false where the "
        "log-likelihood is not finite.",
        null=f"{UNSCORED}, whole texts are scored (perplexity), or {PUBLISHED}",
    ),
    Column(
        "bits_per_param",
        "float64",
        "Stored bits per quantized weight, as the paper counts: k + 16/B, or what else a block stores.",
        unit="bits",
        null=UNQUANTIZED,
    ),
    Column(
        "body_bits",
        "int64",
        "Bits of the quantized linears: codes, scales, minimums, codebooks.",
        unit="bits",
        null=f"{UNQUANTIZED}, or {UNSTATED}",
    ),
    Column(
        "total_bits",
        "int64",
        "Bits of everything stored, tied tensors once.",
        unit="bits",
        null=f"{UNQUANTIZED}, or {UNSTATED}",
    ),
    Column("quantized_parameters", "int64", "Weights of the quantized linears.", null=f"{UNQUANTIZED}, or {UNSTATED}"),
    Column("parameters", "int64", "All parameters, tied tensors once.", null=UNQUANTIZED),
    Column("n_items", "int32", "Items scored.", null=f"{UNSCORED}, or {UNSTATED}"),
    Column(
        "n_tokens",
        "int64",
        "Tokens that went through the model: shared prefixes once, padding left out.",
        unit="tokens",
        null=f"{UNSCORED}, or {PUBLISHED}",
    ),
    Column("evaluation_version", "int32", "Version of the evaluation; part of the identity.", null=PUBLISHED),
    Column("member_versions", "string", "Versions of the quantization members used, JSON.", null=PUBLISHED),
    Column("token_budget", "int32", "Tokens of one scoring batch.", unit="tokens", null=PUBLISHED),
    Column(
        "prefix_sharing",
        "bool",
        "Whether the requests of an item shared the tokens they have in common; false for an architecture that does "
        "not say how.",
        null=OLDER,
    ),
    Column("architecture", "string", "model_type of the model's config.", null=OLDER),
    Column("trust_remote_code", "bool", "Whether code that comes with the model was allowed to run.", null=OLDER),
    Column("threads", "int32", "CPU threads of the job.", null=PUBLISHED),
    Column("device", "string", "cpu, or the GPU's name.", null=PUBLISHED),
    Column("gpus", "int32", "GPUs that held the model; 0 on a CPU.", null=OLDER),
    Column(
        "placement",
        "string",
        "Where the weights lay: twin (pristine and quantized side by side), host (pristine in host memory), mapped "
        "(pristine read again from the files), streamed (layer by layer through the device).",
        null=OLDER,
    ),
    Column(
        "gpu_uuids",
        "string",
        "Which GPUs these were: UUIDs as `nvidia-smi -L` has them, joined by commas.",
        null=f"{OLDER_OR} on a CPU",
    ),
    Column("driver_version", "string", "Version of the NVIDIA driver.", null=f"{OLDER_OR} on a CPU"),
    Column("cuda_version", "string", "CUDA that torch was built for.", null=f"{OLDER_OR} on a CPU"),
    Column("seconds", "float64", "Wall time of scoring this cell.", unit="s", null=f"{UNSCORED}, or {PUBLISHED}"),
    Column(
        "quantize_seconds",
        "float64",
        "Wall time of quantizing the model for the cell's spec, shared by the spec's cells.",
        unit="s",
        null=UNQUANTIZED,
    ),
    Column(
        "quantize_backend",
        "string",
        "What quantized the weights: compiled (C++ built on the machine), eager (torch's own operations), cuda; "
        "several joined by +. The results are the same.",
        null=f"16-bit control, {UNQUANTIZED}, or written before row version 4",
    ),
    Column(
        "peak_memory_bytes",
        "int64",
        "Peak memory of the process (GPU: of the fullest) so far.",
        unit="bytes",
        null="status is crashed",
    ),
    Column("started_at", "string", "UTC time at which the cell was started, ISO 8601.", null=PUBLISHED),
    Column("host", "string", "Name of the machine.", null=PUBLISHED),
    Column(
        "slurm_job_id", "string", "Slurm's id of the job that evaluated the cell.", null=f"{OLDER_OR} not a Slurm job"
    ),
    Column("node", "string", "Slurm's name of its node.", null=f"{OLDER_OR} not a Slurm job"),
    Column("git_commit", "string", "Commit of the checkout, with + if it was changed.", null="not run from a checkout"),
    Column("kbit_version", "string", "Version of this software."),
    Column("torch_version", "string", "Version of torch.", null=PUBLISHED),
    Column("transformers_version", "string", "Version of transformers.", null=PUBLISHED),
    Column("lm_eval_version", "string", "Version of lm-eval.", null=PUBLISHED),
    Column(
        "package_versions",
        "string",
        "Versions of what else a score passes through, JSON: python, numpy, tokenizers, safetensors.",
        null="written before row version 3",
    ),
)
