"""Looks at the hidden units of a model on a text: are those large whose weights spread widely? Only if a study asks.

in    results/outliers/{model}.{key}.json       which model, which text (written when the study is planned)
      results/requests/*.parquet                the text's tokens
      results/models/{model}.json               where the weights lie (read by the job, not an input: it may move)
      results/models/{model}.fetched.json       a hub model only: it is in the cache (fetch.smk)
out   results/outliers/{model}.{key}.parquet    a row per linear layer, for the table outliers

The content of every input is in the key, as in evaluate.smk.
"""


rule measure_outliers:
    input:
        planned=ancient("results/outliers/{model}.{key}.json"),
        requests=lambda wildcards: ancient(JOBS.outliers_requests(**wildcards)),
        fetched=lambda wildcards: ancient(JOBS.outliers_stamps(**wildcards)),
    output:
        "results/outliers/{model}.{key}.parquet",
    log:
        "results/logs/measure_outliers/{model}.{key}.log",
    benchmark:
        "results/benchmarks/measure_outliers/{model}.{key}.tsv"
    threads: lambda wildcards: JOBS.outliers_options(**wildcards).threads
    resources:
        mem_mb=lambda wildcards, attempt: JOBS.outliers_resources(**wildcards).mem_mb * attempt,
        runtime=lambda wildcards, attempt: JOBS.outliers_resources(**wildcards).runtime * attempt,
        gpu=lambda wildcards: JOBS.outliers_resources(**wildcards).gpu,
        gpu_model=lambda wildcards: JOBS.outliers_resources(**wildcards).gpu_model,
        gres=lambda wildcards: JOBS.outliers_resources(**wildcards).gres,
        nodes=1,
        device=lambda wildcards: JOBS.outliers_options(**wildcards).device,
        planned_gpus=lambda wildcards: JOBS.outliers_options(**wildcards).planned_gpus,
    shell:
        f"kbit measure-outliers {{input.planned:q}} --output {{output:q}} --threads {{threads}}"
        f" --device {{resources.device}} --gpus {{resources.planned_gpus}} {TRUST} 2> {{log:q}}"
