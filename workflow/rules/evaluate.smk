"""Evaluates the cells of one shard: quantize, score, one row per cell.

in    results/shards/{model}/{slice}.{key}.json     the cells under that key (written when the study is planned)
      results/requests/*.parquet                    the items of its tasks
      results/models/{model}.json                   where the weights lie (read by the job, not an input: it may move)
      results/models/{model}.fetched.json           a hub model only: it is in the cache (fetch.smk)
      results/journal/{model}/                      what earlier attempts finished
out   results/parts/{model}/{slice}.{key}.parquet   one row per cell, columns in docs/rows.md

The content of every input is in the key, so only a missing part is ever evaluated. TRUST is
no parameter of the rule: another would make every part anew.
"""


rule evaluate:
    input:
        shard=ancient("results/shards/{model}/{slice}.{key}.json"),
        requests=lambda wildcards: ancient(JOBS.requests(**wildcards)),
        fetched=lambda wildcards: ancient(JOBS.model_stamps(**wildcards)),
    output:
        "results/parts/{model}/{slice}.{key}.parquet",
    log:
        "results/logs/evaluate/{model}/{slice}.{key}.log",
    benchmark:
        "results/benchmarks/evaluate/{model}/{slice}.{key}.tsv"
    threads: lambda wildcards: JOBS.options(**wildcards).threads
    resources:
        mem_mb=lambda wildcards, attempt: JOBS.resources(**wildcards).mem_mb * attempt,
        runtime=lambda wildcards, attempt: JOBS.resources(**wildcards).runtime * attempt,
        gpu=lambda wildcards: JOBS.resources(**wildcards).gpu,
        gpu_model=lambda wildcards: JOBS.resources(**wildcards).gpu_model,
        gres=lambda wildcards: JOBS.resources(**wildcards).gres,
        # Slurm would give a job its GPUs on several nodes, one here and one there.
        nodes=1,
        device=lambda wildcards: JOBS.options(**wildcards).device,
        planned_gpus=lambda wildcards: JOBS.options(**wildcards).planned_gpus,
    shell:
        f"kbit run-shard {{input.shard:q}} --part {{output:q}} --threads {{threads}}"
        f" --device {{resources.device}} --gpus {{resources.planned_gpus}} {TRUST} 2> {{log:q}}"
