"""Writes the report: one self-contained HTML page.

in    results/studies/{study}/tables/, results/studies/{study}/fits.parquet
out   reports/{study}/index.html
"""


rule report:
    input:
        rules.tables.output,
        rules.fit.output,
    output:
        report(str(report_path(STUDY)), caption="../report/page.rst", category="Study report"),
    log:
        f"results/logs/report/{STUDY}.log",
    benchmark:
        f"results/benchmarks/report/{STUDY}.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        study=STUDY_FILE,
    shell:
        "kbit report {params.study:q} 2> {log:q}"
