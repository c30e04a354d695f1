"""Builds and tokenizes the items of a task, once per tokenizer.

in    results/requests/{task}.{digest}.json      which items, which tokenizer (written when the study is planned)
out   results/requests/{task}.{digest}.parquet   token ids, items and task definition: all that scoring needs
"""


rule build_requests:
    input:
        ancient("results/requests/{task}.{digest}.json"),
    output:
        "results/requests/{task}.{digest}.parquet",
    log:
        "results/logs/build_requests/{task}.{digest}.log",
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    shell:
        "kbit build-requests {input:q} --output {output:q} 2> {log:q}"
