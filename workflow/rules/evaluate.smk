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
        requests=lambda wildcards: ancient([str(path) for path in PLAN.shard(**wildcards).requests]),
        fetched=lambda wildcards: ancient([str(path) for path in model_stamps(PLAN.shard(**wildcards).model)]),
    output:
        "results/parts/{model}/{slice}.{key}.parquet",
    log:
        "results/logs/evaluate/{model}/{slice}.{key}.log",
    benchmark:
        "results/benchmarks/evaluate/{model}/{slice}.{key}.tsv"
    threads: lambda wildcards: ESTIMATE.resources(PLAN.shard(**wildcards)).threads
    resources:
        mem_mb=lambda wildcards, attempt: ESTIMATE.resources(PLAN.shard(**wildcards)).mem_mb * attempt,
        runtime=lambda wildcards, attempt: ESTIMATE.resources(PLAN.shard(**wildcards)).runtime * attempt,
        gpu=lambda wildcards: ESTIMATE.resources(PLAN.shard(**wildcards)).gpu,
        gpu_model=lambda wildcards: ESTIMATE.resources(PLAN.shard(**wildcards)).gpu_model,
        gres=lambda wildcards: ESTIMATE.resources(PLAN.shard(**wildcards)).gres,
        device=lambda wildcards: ESTIMATE.resources(PLAN.shard(**wildcards)).device,
    shell:
        f"kbit run-shard {{input.shard:q}} --part {{output:q}} --threads {{threads}}"
        f" --device {{resources.device}} {TRUST} 2> {{log:q}}"
