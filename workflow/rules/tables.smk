"""Builds the study's tables from its parts.

in    results/parts/                              every part of the plan
      results/outliers/                           what was seen of hidden units, if the study asks for it
out   results/studies/{study}/tables/*.parquet    cells, scores, points, models; outliers, if it does
      results/studies/{study}/tables/plan.{key}   stamp: the tables are of this plan
"""


rule tables:
    input:
        PARTS,
        OUTLIERS,
    output:
        PLAN.stamp,
        report(
            [
                str(tables_folder(STUDY) / f"{table}.parquet")
                for table in ("cells", "scores", "points", "models", *(["outliers"] if OUTLIERS else []))
            ],
            caption="../report/tables.rst",
            category="Tables",
        ),
    log:
        f"results/logs/tables/{STUDY}.log",
    benchmark:
        f"results/benchmarks/tables/{STUDY}.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        study=STUDY_FILE,
    shell:
        "kbit build-tables {params.study:q} 2> {log:q}"
