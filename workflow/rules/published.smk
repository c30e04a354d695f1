"""Makes parts of the tables that others published. A local rule of a second or two: nothing is evaluated.

in    the description that the study names, and the CSV file that it describes
out   results/published/{publication}.{key}.parquet    one row per cell, columns in docs/rows.md

The content of both files is in the key.
"""


rule import_published:
    input:
        description=lambda wildcards: ancient(str(PLAN.published(**wildcards).inputs[0])),
        table=lambda wildcards: ancient([str(path) for path in PLAN.published(**wildcards).inputs[1:]]),
    output:
        "results/published/{publication}.{key}.parquet",
    log:
        "results/logs/import_published/{publication}.{key}.log",
    benchmark:
        "results/benchmarks/import_published/{publication}.{key}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "kbit import {input.description:q} --part {output:q} 2> {log:q}"
