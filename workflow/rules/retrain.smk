"""Makes the committed models and tasks anew, beside the committed ones. Nothing in a study depends on it.

in    data/corpus/
out   results/retrain/models/{recipe}/    a checkpoint folder like data/models/{recipe}/
      results/retrain/tasks/              like data/tasks/

    snakemake --cores 2 retrain_models      (about 80 minutes on two cores)
    snakemake --cores 2 retrain_tasks
"""

from kbit.models.recipes import RECIPES

RECIPE_NAMES = list(RECIPES)


rule retrain_models:
    input:
        expand("results/retrain/models/{recipe}/model.safetensors", recipe=RECIPE_NAMES),


rule retrain_tasks:
    input:
        "results/retrain/tasks/ho_perplexity.jsonl",


rule train:
    output:
        "results/retrain/models/{recipe}/model.safetensors",
    log:
        "results/logs/train/{recipe}.log",
    benchmark:
        "results/benchmarks/train/{recipe}.tsv"
    wildcard_constraints:
        recipe="|".join(RECIPE_NAMES),
    threads: 1
    resources:
        mem_mb=2000,
        runtime=120,
    shell:
        "OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE nice kbit train {wildcards.recipe} --output results/retrain/models > {log:q} 2>&1"


rule build_tasks:
    output:
        "results/retrain/tasks/ho_perplexity.jsonl",
    log:
        "results/logs/build_tasks.log",
    benchmark:
        "results/benchmarks/build_tasks.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    shell:
        "kbit build-tasks --output results/retrain/tasks > {log:q} 2>&1"
