"""Fits the scaling laws and tests the paper's claims.

in    results/studies/{study}/tables/         the tables, and the samples column of the parts
out   results/studies/{study}/fits.parquet    verdicts, laws and linear models with their intervals
      results/studies/{study}/claims.parquet  which claims the study supports, refutes or cannot decide
"""


rule fit:
    input:
        rules.tables.output,
    output:
        report(str(fits_path(STUDY)), caption="../report/fits.rst", category="Tables"),
        str(claims_path(STUDY)),
    log:
        f"results/logs/fit/{STUDY}.log",
    benchmark:
        f"results/benchmarks/fit/{STUDY}.tsv"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        study=STUDY_FILE,
    # Two processes, each on one thread: the arrays are small.
    shell:
        "OMP_NUM_THREADS=1 kbit fit {params.study:q} --threads {threads} 2> {log:q}"
