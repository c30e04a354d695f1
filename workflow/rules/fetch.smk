"""Fetches what a study takes from the Hugging Face hub. Local rules: the submitting node has a network, jobs have none.

in    results/models/{model}.json                    which model at which commit (written when the study is planned)
      results/tasks/{task}.{digest}.json             which data set at which commit (likewise)
out   results/models/{model}.fetched.json            stamp: commit, files, sizes, digests; the files are in the hub's
      results/tasks/{task}.{digest}.fetched.json     cache (HF_HOME), complete and intact

What is local is in no need of these rules. A commit never changes, so a stamp that is there is as good as on the first
day; whoever empties the cache lets `kbit run` fetch again, or `kbit fetch`.
"""


rule fetch_model:
    input:
        ancient("results/models/{model}.json"),
    output:
        "results/models/{model}.fetched.json",
    log:
        "results/logs/fetch_model/{model}.log",
    benchmark:
        "results/benchmarks/fetch_model/{model}.tsv"
    threads: 1
    shell:
        "kbit fetch-model {input:q} --output {output:q} 2> {log:q}"


rule fetch_task:
    input:
        ancient("results/tasks/{task}.{digest}.json"),
    output:
        "results/tasks/{task}.{digest}.fetched.json",
    log:
        "results/logs/fetch_task/{task}.{digest}.log",
    benchmark:
        "results/benchmarks/fetch_task/{task}.{digest}.tsv"
    threads: 1
    shell:
        "kbit fetch-task {input:q} --output {output:q} 2> {log:q}"
