"""The cost model: it grows with everything that costs, asks for what is there, and its figures are of a right size."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbit.plan.calibrating import PLAIN, Calibrating
from kbit.plan.cost import IDLE, SPREAD, Work, add_up, job_cost, layers, place, width
from kbit.plan.places import CPU_PARAMETERS, job_options
from kbit.plan.plan import plan_study
from kbit.plan.rates import assumed_rates
from kbit.spec.hardware import Hardware
from kbit.spec.placement import HOST_BYTES, Placement, solving_bytes

CARD = Hardware()
PAPER_TOKENS = 2_500_000
"""About what the five tasks of the paper's study have, common prefixes counted once."""
SHAPES = Path(__file__).parents[1] / "models/published_shapes.csv"


def work(
    parameters, specs=1, dtype="float16", tokens=PAPER_TOKENS, mask_values=0, compared_tokens=(), calibrating=PLAIN
):
    """A job of so many specs, five tasks each."""
    linears = int(0.97 * parameters)
    return Work(
        parameters=parameters,
        linears=linears,
        dtype=dtype,
        token_budget=8192,
        cells=5 * specs,
        specs=specs,
        tokens=tokens * specs,
        pass_tokens=tokens,
        pass_mask_values=mask_values,
        compared_tokens=compared_tokens,
        flop=2 * linears * tokens * specs,
        calibrating=calibrating,
    )


def cost(parameters, specs=1, hardware=CARD, **more):
    job = work(int(parameters), specs, **more)
    rates = assumed_rates(job.dtype, job.token_budget, place(job, hardware).gpus, hardware)
    return job_cost(job, hardware, rates)


@pytest.mark.parametrize(("parameters", "dtype"), [(1.5e6, "float32"), (7e9, "float16"), (66e9, "bfloat16")])
def test_calibrated_specs_cost_more(parameters, dtype):
    """Of time by their number and by what they look at; of host memory, but for what a place has."""
    plain = cost(parameters, 4, dtype=dtype)
    calibrated = [
        cost(parameters, 4, dtype=dtype, calibrating=Calibrating(specs, tokens))
        for specs, tokens in [(0, 0), (1, 30_000), (1, 260_000), (4, 260_000)]
    ]
    assert calibrated[0] == plain
    totals = [each.seconds.quantize for each in calibrated]
    assert totals == sorted(set(totals))
    assert calibrated[1].mem_mb >= plain.mem_mb


def test_a_seven_billion_model_is_calibrated_within_minutes():
    """GPTQ's paper: some four hours for 175 billion on an A100, so ten minutes for 7 there; 128 x 2048 tokens."""
    seconds = cost(7e9, calibrating=Calibrating(1, 128 * 2048)).seconds.quantize - cost(7e9).seconds.quantize
    assert 60 < seconds < 600


def test_solving_gets_room_on_the_gpu():
    """A model of 15 billion parameters in float16 lies on an 80-GB card twice, but not beside 15 GB for its moments."""
    assert solving_bytes(5120) == pytest.approx(
        (4 * 19 + 16 * 16) * 5120**2
    )  # moments; those of the widest input again
    plain, calibrated = (replace(work(int(15e9)), calibrates=calibrates) for calibrates in (False, True))
    card = Hardware(gpu_memory_gb=80, host_memory_gb=500)
    assert (place(plain, card).kind, place(calibrated, card).kind) == ("twin", "host")


@given(parameters=st.integers(20_000_000, 200_000_000_000), max_gpus=st.integers(1, 8))
def test_calibrated_jobs_ask_for_the_gpus_they_are_told_of(parameters, max_gpus):
    card = Hardware(max_gpus=max_gpus, gpu_request="gpus")
    told = job_options(parameters, parameters, "float16", card, calibrates=True)
    asked = place(replace(work(parameters), linears=parameters, calibrates=True), card)
    assert asked.gpus == told.planned_gpus
    assert asked.gpus >= place(replace(work(parameters), linears=parameters), card).gpus or asked.kind == "streamed"


def test_nothing_missing_needs_no_gpu():
    assert (IDLE.minutes, IDLE.gpus, IDLE.gpu_hours) == (5, 0, 0)


@pytest.mark.parametrize("parameters", [100_000, 70e6, 7e9, 20e9, 66e9, 176e9])
def test_more_specs_never_cost_less(parameters):
    costs = [cost(parameters, specs) for specs in (1, 2, 20, 200)]
    totals = [each.seconds.total for each in costs]
    assert totals == sorted(totals)
    assert costs[-1].minutes > costs[0].minutes
    assert len({each.placement for each in costs}) == 1
    assert len({each.mem_mb for each in costs}) == 1


@pytest.mark.parametrize("parameters", [100_000, 70e6, 7e9, 20e9, 66e9, 176e9])
def test_more_tokens_take_longer(parameters):
    totals = [cost(parameters, tokens=tokens).seconds.total for tokens in (10**5, 10**6, 10**7)]
    assert totals == sorted(set(totals))


@pytest.mark.parametrize("field", ["minutes", "mem_mb", "gpus", "gpu_hours"])
def test_larger_models_never_need_less(field):
    sizes = [CPU_PARAMETERS, 70e6, 1e9, 7e9, 13e9, 20e9, 30e9]
    values = [getattr(cost(size, hardware=Hardware(host_memory_gb=1000)), field) for size in sizes]
    assert values == sorted(values)
    assert field == "gpus" or values[-1] > values[0]


@pytest.mark.parametrize("max_gpus", [0, 1, 2, 4, 8])
@pytest.mark.parametrize("parameters", [91_008, 70e6, 7e9, 30e9, 66e9, 176e9])
def test_no_job_asks_for_more_than_the_place_has(parameters, max_gpus):
    hardware = Hardware(max_gpus=max_gpus)
    each = cost(parameters, 3, hardware)
    assert each.gpus <= max_gpus
    assert each.mem_mb <= 1000 * hardware.host_memory_gb or max_gpus == 0
    assert (each.gpu_hours > 0) == (each.gpus > 0)


@pytest.mark.parametrize("parameters", [91_008, 1_565_120])
def test_embedded_models_run_on_the_cpu_within_minutes(parameters):
    each = cost(parameters, 50, dtype="float32", tokens=57_000)
    assert each.gpus == 0
    assert each.gpu_hours == 0
    assert 5 <= each.minutes <= 30
    assert each.mem_mb < 3_000


@pytest.mark.parametrize(
    ("parameters", "max_gpus", "placement"),
    [
        (70e6, 1, Placement("twin", 1)),
        (13e9, 8, Placement("twin", 1)),
        (30e9, 1, Placement("host", 1)),
        (66e9, 1, Placement("streamed", 1)),
        (66e9, 2, Placement("mapped", 2)),  # 128 GB of linears in a host of 128 GB
        (176e9, 4, Placement("streamed", 1)),
    ],
)
def test_placement_follows_the_size_and_the_place(parameters, max_gpus, placement):
    assert place(work(int(parameters)), Hardware(max_gpus=max_gpus)) == placement


def test_a_seven_billion_model_takes_some_minutes_per_spec():
    """2.5 million tokens x 13.6 GFLOP at 494.5 TFLOP/s are 69 s; 14 GB are read in 14 s, a start takes a minute."""
    each = cost(7e9)
    assert each.seconds.score == pytest.approx(68.6, rel=0.01)
    assert each.seconds.read == pytest.approx(14)
    assert each.seconds.transfer == 0
    assert each.minutes == pytest.approx(2 * 60 * each.gpu_hours, abs=1)


def test_a_slower_card_takes_longer():
    a100 = cost(7e9, hardware=Hardware(gpu_tflops=312))
    assert a100.seconds.score == pytest.approx(989 / 312 * cost(7e9).seconds.score)


def test_small_models_are_bound_by_launching_kernels():
    assert cost(70e6).seconds.score == pytest.approx(PAPER_TOKENS / 8192 * 0.03)


def test_pristine_weights_in_host_memory_cross_once_per_spec():
    """30 billion parameters: 58 GB of linears at 20 GB/s are 2.9 s."""
    one, ten = cost(30e9), cost(30e9, 10)
    assert one.seconds.transfer == pytest.approx(2.91)
    assert ten.seconds.transfer == pytest.approx(29.1)
    assert ten.mem_mb > 60_000


def test_a_job_gets_the_host_memory_that_its_placement_looks_for():
    """A card of 24 GB holds 6 billion parameters once; a host with less would have their linears read anew."""
    small = Hardware(gpu_memory_gb=24)
    planned = cost(6e9, hardware=small)
    assert planned.placement == Placement("host", 1)
    asked = Hardware(gpu_memory_gb=24, host_memory_gb=planned.mem_mb / 1000)
    assert cost(6e9, hardware=asked).placement == Placement("host", 1)


def test_streaming_moves_weights_and_states_beside_the_computing():
    """1,726 s of computing hide 352 s of reading: pinning the states' memory at 4 GB/s is all that is added.

    2.5 million states of 15,378 (the bound of the width) x 2 bytes are 77 GB.
    """
    each = cost(176e9)
    assert each.seconds.score == pytest.approx(1726, rel=0.01)
    assert each.seconds.transfer == pytest.approx(77 / 4, rel=0.01)
    assert each.seconds.read == 0


def test_streaming_is_bound_by_the_files_where_there_is_little_to_compute():
    """20,000 tokens: 352 GB at 1 GB/s for every spec; with room for the weights in the page cache, once."""
    big = Hardware(host_memory_gb=1000)
    small, large = (cost(176e9, 10, hardware, tokens=20_000) for hardware in (CARD, big))
    assert small.seconds.transfer + small.seconds.score == pytest.approx(10 * 352, rel=0.01)
    assert large.seconds.transfer + large.seconds.score == pytest.approx(352, rel=0.01)
    assert large.mem_mb > 352_000 > small.mem_mb


def test_hidden_states_beyond_the_hosts_memory_go_to_a_disk():
    """Each of some 60 layers reads and writes them there."""
    fits, spills = cost(176e9, tokens=3_000_000), cost(176e9, tokens=4_000_000)
    assert spills.mem_mb < 20_000 < fits.mem_mb < 128_000
    assert spills.seconds.transfer > 10 * fits.seconds.transfer
    assert cost(176e9, hardware=Hardware(host_memory_gb=200), tokens=4_000_000).mem_mb > 128_000


def test_masks_of_all_batches_wait_in_host_memory_while_a_model_is_streamed():
    """500 million values are 1 GB, which pinned memory may double; a model on its GPU makes them batch by batch."""
    without, masked = cost(176e9), cost(176e9, mask_values=500_000_000)
    assert masked.mem_mb - without.mem_mb == pytest.approx(2 * 1.05 * 1000, abs=1)
    assert cost(7e9, mask_values=500_000_000).mem_mb == cost(7e9).mem_mb


def test_masks_that_leave_hidden_states_no_room_send_them_to_a_disk():
    fits, spills = (cost(176e9, tokens=3_000_000, mask_values=values) for values in (0, 5_000_000_000))
    assert spills.mem_mb < fits.mem_mb
    assert spills.seconds.transfer > 10 * fits.seconds.transfer


@pytest.mark.parametrize("parameters", [100_000, 7e9, 30e9, 176e9])
def test_tasks_that_are_compared_keep_their_last_hidden_states(parameters):
    """Half a GiB of each at most: what is more lies in a file. Of embedded models it is less than that."""
    none, two = cost(parameters), cost(parameters, compared_tokens=(10**6, 10**6))
    added = 1e6 * (two.mem_mb - none.mem_mb)
    assert added == pytest.approx(2 * min(10**6 * width(work(int(parameters))) * 2, 2**29), abs=2e6)
    assert 0 < added < 1.1e9


def test_memory_of_streaming_is_bounded_whatever_the_tokens():
    for tokens in (10**6, 3 * 10**6, 10**8, 10**10):
        each = cost(176e9, tokens=tokens, mask_values=200 * tokens)
        assert (HOST_BYTES + 2 * 5e9) / 1e6 < each.mem_mb <= 128_000


def test_the_width_is_bounded_from_the_parameters():
    """Of every published model of the paper from 13 billion weights on, those that may be streamed."""
    with SHAPES.open() as stream:
        shapes = [{key: row[key] for key in ("name", "layers", "hidden_size")} for row in csv.DictReader(stream)]
    checked = 0
    for shape in shapes:
        n_layers, hidden = int(shape["layers"]), int(shape["hidden_size"])
        job = replace(work(10**9), linears=12 * n_layers * hidden**2)
        if job.linears > 12e9:
            checked += 1
            assert hidden <= width(job) <= 2 * hidden, shape["name"]
            assert layers(job) <= n_layers, shape["name"]
    assert checked >= 5


def test_float32_weights_need_twice_the_room_and_more_time():
    half, single = (cost(13e9, dtype=dtype) for dtype in ("float16", "float32"))
    assert (half.placement.kind, single.placement.kind) == ("twin", "host")
    assert single.mem_mb > 1.9 * half.mem_mb
    assert single.seconds.score == pytest.approx(16 * half.seconds.score)


@pytest.fixture(scope="module")
def tiny():
    return plan_study(Path(__file__).parents[2] / "config/tiny.yaml")


def test_work_is_added_up_from_the_cells(tiny):
    cells = [cell for cell in tiny.cells if cell.model.name == "tiny-neox-64x2"]
    summed = add_up(cells, 2048)
    tokens = {cell.task.name: cell.task.items * cell.task.entry.tokens_per_item for cell in cells}
    assert (summed.cells, summed.specs) == (len(cells), len(cells) // 5)
    assert summed.pass_tokens == sum(tokens.values())
    assert summed.tokens == summed.specs * summed.pass_tokens
    # 231,168 parameters, 98,304 of them in linears; the head counts where all of a text is scored.
    pages = tokens.pop("ho_perplexity")
    assert summed.flop == summed.specs * 2 * (98_304 * sum(tokens.values()) + 231_168 * pages)
    assert summed.compared_tokens == ()
    # Of hellaswag 100 masks of 56 x 56 tokens, and more where items are longer; a text that is scored whole has none.
    squares = {cell.task.name: cell.task.items * cell.task.entry.tokens_per_item**2 for cell in cells}
    assert squares["ho_hellaswag"] == 100 * 56**2
    del squares["ho_perplexity"]
    assert summed.pass_mask_values == SPREAD * sum(squares.values())


def test_divergence_costs_a_pass_of_the_baseline_and_the_head_again(tiny):
    plain = [cell for cell in tiny.cells if cell.model.name == "tiny-neox-64x2" and cell.task.kind == "perplexity"]
    compared = [replace(cell, task=replace(cell.task, divergence=True)) for cell in plain]
    before, after = add_up(plain, 2048), add_up(compared, 2048)
    assert after.tokens == before.tokens + before.pass_tokens
    assert after.compared_tokens == (before.pass_tokens,)
    head = 2 * (231_168 - 98_304)
    assert after.flop - before.flop == before.pass_tokens * (2 * 231_168 + head) + before.tokens * head
