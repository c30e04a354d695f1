"""Builds and tokenizes the items of a task, once per tokenizer.

in    results/requests/{task}.{digest}.json      which items, which tokenizer (written when the study is planned)
      results/models/, results/tasks/            stamps of what of these comes from the hub (fetch.smk)
out   results/requests/{task}.{digest}.parquet   token ids, items and task definition: all that scoring needs
"""


rule build_requests:
    input:
        spec=ancient("results/requests/{task}.{digest}.json"),
        fetched=lambda wildcards: ancient(JOBS.requests_stamps(**wildcards)),
    output:
        "results/requests/{task}.{digest}.parquet",
    log:
        "results/logs/build_requests/{task}.{digest}.log",
    benchmark:
        "results/benchmarks/build_requests/{task}.{digest}.tsv"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    shell:
        f"kbit build-requests {{input.spec:q}} --output {{output:q}} {TRUST} 2> {{log:q}}"
