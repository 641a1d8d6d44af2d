"""The transformer looks back alone, past padding, and its dropout comes from the generator that it is given."""

import pytest
import torch

from ss_trainers.offline.transformer import CausalTransformer, dropped

B, T, E = 2, 6, 8
ALL = torch.ones(B, T, dtype=torch.bool)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def transformer(layers=2, heads=2, dropout=0.5):
    """One whose weights are large enough for attention to choose."""
    made = CausalTransformer(E, layers, heads, dropout, seeded())
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(20) if parameter.ndim == 2 else None
    return made


def tokens(seed=1):
    return torch.randn(B, T, E, generator=seeded(seed))


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("layers", [1, 2])
def test_an_output_depends_on_all_tokens_up_to_it_and_on_no_other(layers, heads):
    made, given = transformer(layers, heads), tokens().requires_grad_()
    for place in range(T):
        (gradient,) = torch.autograd.grad(made(given, ALL)[:, place].square().sum(), given)
        touched = gradient.abs().sum(-1) > 0
        assert touched.tolist() == [[other <= place for other in range(T)]] * B


def test_the_last_layer_computes_what_is_asked_for():
    made, given = transformer(), tokens()
    for asked in (slice(1, None, 3), slice(-2, -1)):
        torch.testing.assert_close(made(given, ALL, asked=asked), made(given, ALL)[:, asked])


def test_padding_in_front_changes_nothing_and_has_no_gradient():
    made, given = transformer(), tokens()
    padded = torch.cat([torch.full((B, 3, E), 7.0), given], 1).requires_grad_()
    mask = torch.cat([torch.zeros(B, 3, dtype=torch.bool), ALL], 1)
    outputs = made(padded, mask)
    torch.testing.assert_close(outputs[:, 3:], made(given, ALL))
    (gradient,) = torch.autograd.grad(outputs[:, 3:].square().sum(), padded)
    assert not gradient[:, :3].any() and gradient[:, 3:].abs().sum() > 0


def test_nothing_is_drawn_from_the_global_generator():
    before = torch.get_rng_state()
    made = transformer()
    noisy = made(tokens(), ALL, seeded(3))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(noisy, made(tokens(), ALL, seeded(3)))
    assert not torch.equal(noisy, made(tokens(), ALL, seeded(4)))


def test_without_noise_nothing_is_dropped():
    assert torch.equal(transformer(dropout=0.9)(tokens(), ALL), transformer(dropout=0.0)(tokens(), ALL, seeded()))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.99])
def test_dropout_leaves_out_its_share_and_keeps_the_mean(rate):
    values = dropped(torch.ones(301, 333), rate, seeded())
    left_out = (values == 0).double().mean().item()
    # A hundred thousand numbers, to within four standard deviations, and rates in 256ths.
    assert left_out == pytest.approx(rate, abs=1 / 512 + 4 * (rate * (1 - rate) / values.numel()) ** 0.5)
    assert values.unique().tolist() == pytest.approx([0.0, 1 / (1 - round(256 * rate) / 256)])


def test_the_numbers_that_are_left_out_are_spread_evenly():
    # A byte of each random word decides about each eighth number: all eight have to be as random.
    shares = (dropped(torch.ones(20_000, 8), 0.5, seeded()) == 0).double().mean(0)
    assert shares.tolist() == pytest.approx([0.5] * 8, abs=4 * 0.5 / 20_000**0.5)
