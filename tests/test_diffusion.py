"""The diffusion head: its schedule, its sampler against a closed form, and what a short training learns."""

from dataclasses import replace

import pytest
import torch

from morphloop.base import MotionError
from morphloop.generator import DiffusionConfig
from morphloop.generator.diffusion import STEPS, DiffusionHead, ddim, kept_shares

torch.set_num_threads(1)
CONFIG = DiffusionConfig(width=64, depth=2, sampling_steps=20)


def generators(count: int, seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(1000 * seed + i) for i in range(count)]


@pytest.mark.parametrize(("width", "most"), [(64, 1.5), (256, 0.75)])
def test_many_numbers_follow_their_hidden_state_after_a_short_training(width: int, most: float) -> None:
    """Latents of many numbers about 16 centres: each is drawn near the one that its hidden state asks for, by a head
    that is narrower than they are and, more closely, by a wider one. A network that says the noise itself cannot pass
    it through the narrow one, and is twice as far off with the wide one."""
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(1)
    asks, centres = torch.randn(16, 8, generator=rng), torch.randn(16, 128, generator=rng)
    which = torch.randint(16, (4000,), generator=rng)
    latents = centres[which] + 0.5 * torch.randn(4000, 128, generator=rng)
    head = DiffusionHead(8, 128, replace(CONFIG, width=width))
    head.set_normaliser(latents)
    optimiser = torch.optim.Adam(head.parameters(), 2e-3)
    for _ in range(150):
        rows = torch.randint(4000, (64,), generator=rng)
        loss = head.loss(asks[which[rows]], latents[rows], rng)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    asked = torch.arange(16).repeat(4)
    made = head.sample(asks[asked], generators(64))
    assert (torch.cdist(made, centres).argmin(1) == asked).float().mean() > 0.9
    assert (made - centres[asked]).std() < most, "0.5 in the latents themselves"


def test_the_schedule_ends_in_hardly_anything() -> None:
    kept = kept_shares()
    assert kept.shape == (STEPS,)
    assert (kept.diff() < 0).all()
    assert kept[0] > 0.999
    assert kept[-1] < 0.01


@pytest.mark.parametrize("steps", [20, 50])
def test_the_sampler_on_noise_that_is_known_in_closed_form(steps: int) -> None:
    """Of latents drawn from N(m, s^2) the best noise prediction is known; the sampler must end at that distribution."""
    mean, deviation = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 0.2])
    kept = kept_shares().float()

    def noise(noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        share = kept[time][:, None]
        variance = share * deviation.square() + 1 - share
        return (1 - share).sqrt() * (noisy - share.sqrt() * mean) / variance

    start = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
    made = ddim(noise, start, steps)
    assert torch.allclose(made.mean(0), mean, atol=0.08)
    assert torch.allclose(made.std(0), deviation, rtol=0.1)


def test_one_known_latent_is_found_exactly() -> None:
    wanted = torch.tensor([[0.3, -1.2, 2.0]])
    kept = kept_shares().float()

    def noise(noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        share = kept[time][:, None]
        return (noisy - share.sqrt() * wanted) / (1 - share).sqrt()

    assert torch.allclose(ddim(noise, torch.randn(5, 3), 7), wanted.expand(5, 3), atol=1e-3)


@pytest.fixture(scope="module")
def head() -> DiffusionHead:
    """Trained on two hidden states: for one latents are 20 or 26 at random, for the other 10."""
    torch.manual_seed(0)
    head = DiffusionHead(2, 1, CONFIG)
    rng = torch.Generator().manual_seed(1)
    hidden = torch.eye(2).repeat(256, 1)
    first = 20.0 + 6.0 * torch.randint(2, (256,), generator=rng)
    latents = torch.stack([first, torch.full((256,), 10.0)], dim=1).reshape(-1, 1)
    latents = latents + 0.3 * torch.randn(latents.shape, generator=rng)
    head.set_normaliser(latents)
    optimizer = torch.optim.Adam(head.parameters(), 2e-3)
    for _ in range(400):
        loss = head.loss(hidden, latents, rng)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return head.eval()


def test_what_is_drawn_is_what_the_hidden_state_stands_for(head: DiffusionHead) -> None:
    hidden = torch.eye(2).repeat(64, 1)
    made = head.sample(hidden, generators(128))[:, 0]
    first, second = made[::2], made[1::2]
    assert ((second - 10).abs() < 1.5).float().mean() > 0.9
    low, high = ((first - at).abs() < 1.5 for at in (20, 26))
    assert (low | high).float().mean() > 0.85, "both, and little between"
    assert 0.2 < low.float().mean() < 0.8


def test_a_sample_is_its_own_generators(head: DiffusionHead) -> None:
    hidden = torch.eye(2)[[0, 1, 0]]
    together = head.sample(hidden, generators(3))
    alone = torch.cat([head.sample(one[None], [g]) for one, g in zip(hidden, generators(3), strict=True)])
    assert torch.allclose(together, alone, atol=1e-4)
    assert not torch.allclose(together, head.sample(hidden, generators(3, seed=9)), atol=1e-2)


def test_guidance_goes_from_the_unprompted_to_the_prompted(head: DiffusionHead) -> None:
    told, untold = torch.eye(2)[:1].repeat(8, 1), torch.eye(2)[1:].repeat(8, 1)
    plain = head.sample(told, generators(8))
    assert torch.equal(head.sample(told, generators(8), untold, 1.0), plain)
    assert torch.allclose(head.sample(told, generators(8), untold, 0.0), head.sample(untold, generators(8)), atol=1e-4)
    assert head.sample(told, generators(8), untold, 2.0).mean() > plain.mean(), "further from what is not asked"
    with pytest.raises(MotionError, match=r"guidance 2\.0 needs"):
        head.sample(told, generators(8), guidance=2.0)


def test_an_untrained_head_starts_without_its_condition() -> None:
    head = DiffusionHead(3, 2, CONFIG)
    noisy, time = torch.randn(4, 2), torch.arange(4)
    assert torch.equal(head.noise(noisy, time, torch.zeros(4, 3)), head.noise(noisy, time, torch.ones(4, 3)))
    with pytest.raises(MotionError, match="depth is 0"):
        replace(CONFIG, depth=0)
