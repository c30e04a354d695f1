"""Items and resamples: scores derived from log-likelihoods, paired draws, and what their intervals cover."""

import numpy as np
import polars as pl
import pytest

from kbit.scaling.items import ItemScores, candidate_scores, read_request_table
from kbit.scaling.laws.verdict import percentile_interval
from kbit.scaling.resample import draw_counts, find_items, resample_scores
from kbit.spec.quant import CONTROL, QuantSpec
from kbit.store.paths import requests_path
from kbit.warehouse import Samples

INT4 = QuantSpec(data_type="int", bits=4, block_size=64)
PATH = requests_path("task", "aaaaaaaaaaaa")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def sampled(loglikelihoods, greedy=None):
    """Samples of some cells, nats."""
    return Samples(np.array(loglikelihoods, dtype=np.float32), None if greedy is None else np.array(greedy))


def test_accuracy_follows_from_the_likeliest_choice(write_requests):
    documents = [{"query": "q", "gold": 1, "other": 0}, {"query": "q", "gold": 0, "other": 0}]
    write_requests("task", documents, [2, 3], {"doc_to_target": "gold"})
    # Cell 1 answers (1, 0): both right. Cell 2 answers (0, 2): none; its tie in item 1 goes to the first choice.
    samples = sampled([[-2, -1, -1, -2, -3], [-1, -1, -3, -2, -1]])
    items = find_items(PATH, "acc", samples, np.array([1.0, 0.0]))
    assert items.values.tolist() == [[1, 1], [0, 0]]
    assert items.weights.tolist() == [1, 1]


def test_a_log_likelihood_that_is_not_finite_is_no_probability(write_requests):
    write_requests("task", [{"gold": 1}, {"gold": 0}, {"gold": 1}], [2] * 3, {"doc_to_target": "gold"})
    # Item 1: the only finite choice is right; item 2: the first of none; item 3: the first of none, and wrong.
    samples = sampled([[np.nan, -5, np.inf, np.nan, np.nan, -np.inf]])
    assert find_items(PATH, "acc", samples, np.array([2 / 3])).values.tolist() == [[1, 1, 0]]


def test_the_named_field_is_tried_first_and_a_wrong_one_is_found_out(write_requests):
    documents = [{"answer": str(1 + item % 2), "decoy": 0} for item in range(4)]
    write_requests("task", documents, [2] * 4, {"doc_to_text": "{{decoy}}"})
    # Every answer right by `answer`, which counts from 1; half of them by `decoy`.
    samples = sampled([[0, -1, -1, 0, 0, -1, -1, 0]])
    by_answer = find_items(PATH, "acc", samples, np.array([1.0]))
    assert by_answer.values.tolist() == [[1, 1, 1, 1]]
    assert isinstance(find_items(PATH, "acc", samples, np.array([0.25])), str)


def test_acc_norm_divides_by_the_characters_of_the_choice(write_requests):
    documents = [{"choices": ["ab", "abcdefgh"], "label": 1}] * 2
    write_requests("task", documents, [2, 2], {"doc_to_target": "label", "doc_to_choice": "choices"})
    # -4/2 = -2 < -8/8 = -1: right by acc_norm, wrong by acc.
    samples = sampled([[-4, -8, -4, -8]])
    assert find_items(PATH, "acc_norm", samples, np.array([1.0])).values.tolist() == [[1, 1]]
    assert find_items(PATH, "acc", samples, np.array([0.0])).values.tolist() == [[0, 0]]


def test_acc_norm_finds_choices_in_fields_of_their_own(write_requests):
    # As PIQA has them; the goal is a text too, but no choice.
    documents = [{"goal": "aaaa", "sol1": "ab", "sol2": "abcdefgh", "label": 1}] * 2
    write_requests("task", documents, [2, 2], {"doc_to_target": "label", "doc_to_choice": "{{[sol1, sol2]}}"})
    samples = sampled([[-4, -8, -4, -8]])
    assert find_items(PATH, "acc_norm", samples, np.array([1.0])).values.tolist() == [[1, 1]]


def test_the_right_choice_may_be_a_label_of_a_list(write_requests):
    # As ARC has them: letters in some documents, numbers in others, three choices or four.
    choices = [{"text": ["ab", "c", "d"], "label": ["A", "B", "C"]}, {"text": ["a", "b"], "label": ["1", "2"]}]
    documents = [{"choices": choices[0], "answerKey": "B"}, {"choices": choices[1], "answerKey": "2"}]
    words = {"doc_to_target": "{{choices.label.index(answerKey)}}", "doc_to_choice": "{{choices.text}}"}
    write_requests("task", documents, [3, 2], words)
    samples = sampled([[-3, -2, -4, -2, -1], [-3, -2, -4, -1, -2]])
    items = find_items(PATH, "acc", samples, np.array([1.0, 0.5]))
    assert items.values.tolist() == [[1, 1], [1, 0]]
    assert items.scored.tolist() == [1, 4]
    # -3 / 2 characters beats -2 / 1: the first item is no longer right.
    assert find_items(PATH, "acc_norm", samples, np.array([0.5, 0.0])).values.tolist() == [[0, 1], [0, 0]]


def test_a_loss_is_weighted_by_the_bytes_of_the_page(write_requests):
    documents = [{"page": "ä" * 10, "title": "x"}, {"page": "a" * 60, "title": "y"}]
    write_requests("task", documents, [1, 1], {"doc_to_target": "page"}, rolling=True)
    samples = sampled([[-30, -50]])
    items = find_items(PATH, "nats_per_byte", samples, np.array([80 / 80]))
    assert items.weights.tolist() == [20, 60]
    assert items.means.tolist() == [1.0]
    # Two pages are drawn with replacement: 1.5, 1 or 50/60 nats per byte, and nothing else.
    resampled = resample_scores(items, draw_counts("identity", 2))
    assert set(np.round(resampled[0], 4)) == {1.5, 1.0, round(50 / 60, 4)}
    # Every request of the fixture has three tokens.
    assert find_items(PATH, "nats_per_token", samples, np.array([80 / 6])).weights.tolist() == [3, 3]


def test_one_request_an_item_is_right_if_greedy(write_requests):
    write_requests("task", [{"target": " news"}] * 3, [1] * 3, {"doc_to_target": "target"})
    greedy = [[True, False, False], [True, False, True]]
    samples = sampled([[-1, -2, -3], [-1, -2, -3]], greedy)
    items = find_items(PATH, "acc", samples, np.array([1 / 3, 2 / 3]))
    assert items.values.tolist() == [[1, 0, 0], [1, 0, 1]]
    assert items.weights.tolist() == [1, 1, 1]
    assert "does not follow from the samples" in find_items(PATH, "acc", samples, np.array([1 / 3, 1 / 3]))


def test_a_greedy_match_cannot_be_told_from_log_likelihoods(write_requests):
    write_requests("task", [{"target": " news"}] * 3, [1] * 3, {"doc_to_target": "target"})
    samples = sampled([[-1, -2, -3]])
    assert list(candidate_scores(read_request_table(PATH), "acc", samples)) == []
    assert "does not follow from the samples" in find_items(PATH, "acc", samples, np.array([1 / 3]))


def test_without_requests_or_samples_the_reason_is_given(write_requests):
    samples = sampled([[0, 0, 0, 0]])
    assert "no requests file" in find_items(PATH, "acc", samples, np.array([1.0]))
    assert "without samples" in find_items(PATH, "acc", None, np.array([1.0]))
    write_requests("task", [{"gold": 0}], [2], {"doc_to_target": "gold"})
    assert "no requests file" in find_items(PATH, "acc", samples, np.array([1.0]))


def test_draws_depend_on_the_task_alone_and_keep_the_number_of_items():
    counts = draw_counts("identity", 50, 20)
    assert (counts.sum(axis=0) == 50).all()
    assert (counts == draw_counts("identity", 50, 20)).all()
    assert (counts != draw_counts("another", 50, 20)).any()


def test_cells_that_answer_alike_differ_by_exactly_as_much_in_every_resample():
    values = np.random.default_rng(0).random((1, 40)).astype(np.float32)
    twins = ItemScores(np.vstack([values, values + 0.25]), np.ones(40, dtype=np.float32), np.arange(40))
    resampled = resample_scores(twins, draw_counts("identity", 40))
    # float32 sums of 40 values near one; unpaired draws would differ by 0.06.
    assert np.abs(resampled[1] - resampled[0] - 0.25).max() < 1e-6


def test_the_interval_of_a_paired_difference_covers_the_truth_as_often_as_it_says():
    # Two cells answer 150 items alike but for one in five, where the first is right with 0.6 and the second with 0.4.
    n_items, n_studies, truth = 150, 300, 0.2 * 0.2
    covered = 0
    for study in range(n_studies):
        generator = np.random.default_rng([7, study])
        alike = generator.random(n_items) < 0.7
        split = generator.random(n_items) < 0.2
        first = np.where(split, generator.random(n_items) < 0.6, alike)
        second = np.where(split, generator.random(n_items) < 0.4, alike)
        items = ItemScores(
            np.stack([first, second]).astype(np.float32), np.ones(n_items, dtype=np.float32), np.arange(n_items)
        )
        resampled = resample_scores(items, draw_counts(f"study {study}", n_items, 400))
        low, high = percentile_interval(resampled[0] - resampled[1])
        covered += low <= truth <= high
    # 95 % of 300 with a binomial standard deviation of 1.3 %: three of them either way, and the percentile interval of
    # a discrete difference is allowed to be a little wide.
    assert 0.91 <= covered / n_studies <= 0.99


@pytest.fixture
def noisy_study(study, score, write_requests):
    """Two families of two sizes; accuracy of 4 bits a little lower, item by item from a common difficulty."""

    def make(with_requests=True):
        generator = np.random.default_rng(2)
        n_items = 200
        gold = generator.integers(0, 2, n_items).tolist()
        if with_requests:
            write_requests("quiz", [{"label": answer} for answer in gold], [2] * n_items, {"doc_to_target": "label"})
        difficulty = generator.random(n_items)
        scores = []
        for family in ("f", "g"):
            for size, skill in ((100_000, 0.55), (400_000, 0.75)):
                for spec in (CONTROL, INT4):
                    right = difficulty < skill - (0.03 if spec is INT4 else 0)
                    samples = []
                    for answer, is_right in zip(gold, right, strict=True):
                        samples += [-1.0, -2.0] if (answer == 0) == is_right else [-2.0, -1.0]
                    accuracy = float(right.mean())
                    stderr = float(np.sqrt(accuracy * (1 - accuracy) / (n_items - 1)))
                    scores.append(
                        score(family, f"{family}{size}", size, spec, "quiz", accuracy, stderr, samples, n_items)
                    )
        return study(scores)

    return make


def runner_up_gap(fits):
    rows = fits.filter(
        (pl.col("quantity") == "gap_to_runner_up") & (pl.col("data_type") == "int")
        & (pl.col("bit_accounting") == "total_bits") & (pl.col("family") == "f")
    )  # fmt: skip
    return rows.row(0, named=True)


def test_pairing_by_items_narrows_the_interval_of_a_gap(noisy_study):
    paired = runner_up_gap(noisy_study().fit())
    requests_path("quiz", "aaaaaaaaaaaa").unlink()
    unpaired = runner_up_gap(noisy_study(with_requests=False).fit())
    assert paired["value"] == unpaired["value"]
    assert "paired bootstrap over 200 items, 1000 resamples, seed" in paired["method"]
    assert "no requests file" not in paired["note"]
    assert "quiz: no requests file" in unpaired["note"]
    assert paired["low"] < paired["value"] < paired["high"]
    width, wide = (row["high"] - row["low"] for row in (paired, unpaired))
    assert width < 0.8 * wide
