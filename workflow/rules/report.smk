"""Writes the report: one self-contained HTML page.

in    results/studies/{study}/tables/, results/studies/{study}/fits.parquet
out   reports/{study}/index.html
"""


rule report:
    input:
        rules.tables.output,
        rules.fit.output,
    output:
        report_path(STUDY),
    log:
        f"results/logs/report/{STUDY}.log",
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        study=STUDY_FILE,
    shell:
        "kbit report {params.study:q} 2> {log:q}"
