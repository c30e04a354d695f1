"""The embedded models: architecture, width, depth. One entry a model; `kbit train NAME` makes it. Torch-free."""

from dataclasses import dataclass

CONTEXT_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one embedded model is made. Data, order of data, tokens and schedule are the same for all."""

    architecture: str
    """neox, gpt2, opt or bloom: the Hugging Face class that is trained."""
    width: int
    """Hidden size; the feed-forward layer is four times as wide."""
    layers: int
    snapshot_tokens: tuple[int, ...] = ()
    """Tokens after which a checkpoint of the same run is kept, as Pythia's are, its learning rate not yet decayed."""

    @property
    def learning_rate(self) -> float:
        """Peak learning rate: 4e-3 at width 32, falling with the square root of the width."""
        return 4e-3 * (32 / self.width) ** 0.5

    @property
    def heads(self) -> int:
        return max(2, self.width // 32)


EARLY_TOKENS = (1_000_000, 3_000_000)

RECIPES: dict[str, Recipe] = {
    "neox-32x2": Recipe("neox", 32, 2, EARLY_TOKENS),
    "neox-64x2": Recipe("neox", 64, 2, EARLY_TOKENS),
    "neox-96x3": Recipe("neox", 96, 3, EARLY_TOKENS),
    "neox-128x4": Recipe("neox", 128, 4),
    "neox-160x4": Recipe("neox", 160, 4),
    "gpt2-32x2": Recipe("gpt2", 32, 2),
    "gpt2-64x2": Recipe("gpt2", 64, 2),
    "gpt2-96x3": Recipe("gpt2", 96, 3),
    "opt-32x2": Recipe("opt", 32, 2),
    "opt-64x2": Recipe("opt", 64, 2),
    "opt-96x3": Recipe("opt", 96, 3),
    "bloom-32x2": Recipe("bloom", 32, 2),
    "bloom-64x2": Recipe("bloom", 64, 2),
    "bloom-96x3": Recipe("bloom", 96, 3),
}
