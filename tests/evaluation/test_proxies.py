"""The proxy tasks in data/tasks: their files, their items, and that a better model scores better."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from kbit.evaluation.proxies import PROXIES, build_tasks
from kbit.evaluation.proxies.build import share_places
from kbit.evaluation.proxies.sentences import WORD, Sentence, is_plain, split_sentences
from kbit.evaluation.proxies.vocabulary import BAND_RANKS, count_vocabularies
from kbit.models.corpus import read_runs
from kbit.spec.errors import UserError

ROOT = Path(__file__).parents[2]
TASKS = ROOT / "data" / "tasks"
CORPUS = ROOT / "data" / "corpus"
MODELS = ROOT / "data" / "models"

CHOICES = {"ho_winogrande": 2, "ho_piqa": 2, "ho_hellaswag": 4}
SCORED_BY_ITEM = ["ho_lambada", *CHOICES]
ITEM_LIMIT = 100
CONTEXT_TOKENS = 256


def read_items(task: str) -> list[dict]:
    return [json.loads(line) for line in (TASKS / f"{task}.jsonl").read_text(encoding="utf-8").splitlines()]


def texts(task: str, item: dict) -> list[str]:
    """What a model reads of an item, each context with its ending, the right one first."""
    if task == "ho_perplexity":
        return [item["page"]]
    if task == "ho_lambada":
        return [item["query"] + item["target"]]
    if task == "ho_winogrande":
        options = [f"{context} {item['rest']}" for context in item["contexts"]]
    else:
        options = [f"{item['query']} {choice}" for choice in item["choices"]]
    return [options.pop(item["label"]), *options]


def test_committed_files_are_what_the_builder_writes(tmp_path):
    build_tasks(tmp_path, CORPUS)
    written = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert written.keys() == {f"{task}{suffix}" for task in PROXIES for suffix in (".jsonl", ".yaml")}
    assert {name for name, data in written.items() if data != (TASKS / name).read_bytes()} == set()


def test_missing_corpus_is_one_clear_error(tmp_path):
    with pytest.raises(UserError, match=r"holds no test\.jsonl\.xz"):
        build_tasks(tmp_path / "tasks", tmp_path)
    assert not (tmp_path / "tasks").exists()


@pytest.mark.parametrize("task", PROXIES)
def test_items_are_held_out_text(task):
    runs = {run["run"]: run for run in read_runs("test", CORPUS)}
    train = "\n\n".join(run["text"] for run in read_runs("train", CORPUS))
    for item in read_items(task):
        right = texts(task, item)[0]
        assert item["work"] == runs[item["run"]]["work"]
        assert right in runs[item["run"]]["text"]
        assert right not in train


@pytest.mark.parametrize(("task", "n"), CHOICES.items())
def test_right_answer_takes_each_position_alike(task, n):
    labels = [item["label"] for item in read_items(task)]
    for limit in (ITEM_LIMIT, len(labels)):
        counts = Counter(labels[:limit])
        assert set(counts) == set(range(n))
        assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize(("task", "n"), CHOICES.items())
def test_options_are_distinct(task, n):
    assert all(len(set(texts(task, item))) == n for item in read_items(task))


@pytest.mark.parametrize("task", ["ho_winogrande", "ho_piqa"])
def test_wrong_word_is_as_frequent_as_the_right_one(task):
    vocabularies = count_vocabularies(read_runs("train", CORPUS))
    for item in read_items(task):
        right, wrong = (WORD.findall(text) for text in texts(task, item))
        ((good, bad),) = [pair for pair in zip(right, wrong, strict=True) if pair[0] != pair[1]]
        rank = vocabularies[item["work"].split("/")[0]].rank
        assert 0 < abs(rank[good] - rank[bad]) <= BAND_RANKS


def test_wrong_endings_exchange_two_words_at_distance_two():
    for item in read_items("ho_hellaswag"):
        right, *wrong = (WORD.findall(text) for text in texts("ho_hellaswag", item))
        for words in wrong:
            first, second = [at for at, pair in enumerate(zip(right, words, strict=True)) if pair[0] != pair[1]]
            assert second - first == 2
            assert (right[first], right[second]) == (words[second], words[first])


def test_last_word_occurs_in_its_context():
    for item in read_items("ho_lambada"):
        assert re.fullmatch(r" [A-Za-z'-]{4,}", item["target"])
        assert re.search(rf"\b{item['target'].strip()}\b", item["query"])
        assert 30 <= len(WORD.findall(item["query"])) <= 60


def test_tasks_with_exchanged_words_never_share_a_sentence():
    sentences = [texts(task, item)[0] for task in CHOICES for item in read_items(task)]
    assert len(set(sentences)) == len(sentences)


@pytest.mark.parametrize("task", PROXIES)
def test_first_items_are_a_fair_sample(task):
    genres = [item["work"].split("/")[0] for item in read_items(task)]
    limit = min(ITEM_LIMIT, len(genres) // 2)
    whole, sample = Counter(genres), Counter(genres[:limit])
    assert len(whole) == 3
    # Even mixing puts every prefix within one item of its share.
    assert all(abs(sample[genre] - limit * whole[genre] / len(genres)) <= 1 for genre in whole)


def test_items_fit_the_models_and_the_token_budget():
    tokenizer = AutoTokenizer.from_pretrained(MODELS / "neox-32x2")
    total = 0
    for task in SCORED_BY_ITEM:
        lengths = [[len(ids) for ids in tokenizer(texts(task, item))["input_ids"]] for item in read_items(task)]
        assert max(map(max, lengths)) < CONTEXT_TOKENS  # one position is left for a first token
        total += sum(map(sum, lengths[:ITEM_LIMIT]))
    assert total <= 35_000  # what a specification of the embedded study may cost in its four tasks


def test_sentences_end_where_they_should():
    text = 'Mr. Bennet replied that he had not. "Is he married?" she asked!\n\nHAMLET. To be, or not to be.'
    sentences = list(split_sentences({"run": 1, "work": "a/b", "text": text}))
    assert [sentence.text for sentence in sentences] == [
        "Mr. Bennet replied that he had not.",
        '"Is he married?" she asked!',
        "HAMLET.",
        "To be, or not to be.",
    ]
    assert all(text[s.start : s.start + len(s.text)] == s.text for s in sentences)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("And the LORD said unto him, Go.", True),
        ("Enter HAMLET and the queen.", False),
        ("He [aside] goes.", False),
        ('He said, "Go.', False),
        ("and so it ended.", False),
        ("So it went on, and", False),
    ],
)
def test_plain_sentences(text, plain):
    assert is_plain(Sentence(run=1, work="a/b", start=0, text=text)) is plain


def test_places_a_poor_genre_cannot_fill_go_to_the_others():
    assert share_places({"a": 100, "b": 10, "c": 100}, 60) == {"b": 10, "a": 25, "c": 25}
    assert share_places({"a": 2, "b": 1}, 60) == {"b": 1, "a": 2}


@pytest.fixture(scope="module")
def scores() -> dict[str, dict[str, dict[str, float]]]:
    """model -> task -> metric, by lm-eval's own runner on the YAML files as they are."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(TASKS), include_defaults=False)
    assert sorted(manager.all_tasks) == sorted(PROXIES)
    measured = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(TASKS)  # the YAML's data path is relative
        for name in ("neox-32x2-1m", "neox-64x2"):
            # The default cache returns wrong scores where tasks share text.
            model = HFLM(str(MODELS / name), dtype="float32", device="cpu", batch_size=32, logits_cache=False)
            outcome = simple_evaluate(model, tasks=list(PROXIES), task_manager=manager, bootstrap_iters=0)
            measured[name] = {
                task: {metric.removesuffix(",none"): value for metric, value in metrics.items()}
                for task, metrics in outcome["results"].items()
            }
    return measured


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        ("ho_lambada", "perplexity"),
        ("ho_perplexity", "word_perplexity"),
        ("ho_perplexity", "byte_perplexity"),
        ("ho_perplexity", "bits_per_byte"),
    ],
)
def test_more_training_lowers_perplexity(scores, task, metric):
    # Twice the width and ten times the tokens: 2.32 to 1.83 bits per byte when these tasks were made.
    assert scores["neox-64x2"][task][metric] < 0.85 * scores["neox-32x2-1m"][task][metric]


@pytest.mark.parametrize(("task", "n"), CHOICES.items())
def test_accuracy_is_above_chance_and_grows(scores, task, n):
    weak, strong = scores["neox-32x2-1m"][task]["acc"], scores["neox-64x2"][task]["acc"]
    items = len(read_items(task))
    chance_error = (1 / n * (1 - 1 / n) / items) ** 0.5
    assert weak > 1 / n + 3 * chance_error  # a construction without signal passes once in 700
    assert strong > weak + chance_error  # 0.08 to 0.12 when these tasks were made


def test_accuracy_of_the_last_word_grows(scores):
    assert scores["neox-64x2"]["ho_lambada"]["acc"] > scores["neox-32x2-1m"]["ho_lambada"]["acc"] > 0
