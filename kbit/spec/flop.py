"""Floating-point operations of scoring: the one count that plan, measured throughput and reports share."""


def token_flop(parameters: int, linears: int | None, kind: str) -> int:
    """Operations of one token's forward pass: 2 for every weight that it meets (Kaplan et al. 2020, section 2.1).

    parameters: all of the model, tied tensors once. linears: weights of its linear layers; None: unknown, all count.
    kind: a perplexity task takes logits of every token, so embedding and head count as well (the head is one of them,
    or both where they are tied); a zero-shot task takes them of its few scored positions only, which are left out.
    Attention over a context of T tokens adds T / (6 width): 1 % at 250 tokens and a width of 4096, left out as well.
    """
    return 2 * (parameters if linears is None or kind == "perplexity" else linears)
