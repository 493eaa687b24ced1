"""The training loop: its rates, what it tells, and that an interruption or a number of threads changes nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from heads.adam import Adam
from heads.captured import Captured
from heads.density.model import DensityModel, bits_of
from heads.density.spec import FLAGS, DensitySpec
from heads.layers import Layer
from heads.loop import Batch, Descent, Step, descend

ROOT = Path(__file__).parents[2]
SPEC = DensitySpec(1, False, False, 4)
PLAN = Descent(24, 12, 4e-3, warm=5, clip=10.0)


def drawn(step: int) -> Batch:
    rng = np.random.default_rng([7, step])
    inputs = rng.integers(-40, 41, (4, SPEC.inputs, 10, 10)) / 8
    flags, errors = rng.integers(0, 2, (4, FLAGS)), rng.normal(0, 12, (4, 10, 10)).round()
    return tuple(torch.from_numpy(x).float() for x in (inputs, flags, errors))


def trained(
    told: list[Step], state: Path | None = None, stop: int = 0, threads: int = 2, spec: DensitySpec = SPEC
) -> list[Layer]:
    model = DensityModel(spec, 3)

    def loss(inputs: Tensor, flags: Tensor, errors: Tensor) -> Tensor:
        return bits_of(*model(inputs, flags), errors).mean()

    def listen(at: Step) -> None:
        told.append(at)
        if at.step == stop:
            raise InterruptedError

    descend(model, PLAN, drawn, loss, model.choose_scales, listen=listen, every=5, state=state, threads=threads)
    return model.layers()


def same(a: list[Layer], b: list[Layer]) -> bool:
    return all(
        np.array_equal(x.weight, y.weight) and np.array_equal(x.bias, y.bias) and x.scale_bits == y.scale_bits
        for x, y in zip(a, b, strict=True)
    )


def test_rates_warm_up_and_fall_along_a_cosine() -> None:
    plan = Descent(1000, 500, 2.0, warm=10, floor=0.1)
    assert plan.rate_at(0) == pytest.approx(0.2)
    assert plan.rate_at(9) == pytest.approx(2.0, rel=1e-3)
    assert plan.rate_at(500) == pytest.approx(2.0 * (0.1 + 0.9 / 2))
    assert plan.rate_at(999) == pytest.approx(0.2, rel=1e-3)


def test_it_tells_now_and_then_and_of_the_end() -> None:
    told: list[Step] = []
    trained(told)
    assert [at.step for at in told] == [5, 10, 15, 20, 24]
    assert all(at.steps == 24 and at.rate == PLAN.rate_at(at.step - 1) for at in told)
    assert told[1].loss < told[0].loss
    with pytest.raises(AttributeError):
        told[0].loss = 0.0  # type: ignore[misc]


@pytest.mark.parametrize("stop", [5, 10, 20], ids="stopped after {}".format)
def test_an_interrupted_training_ends_as_it_would_have(stop: int, tmp_path: Path) -> None:
    """Before the integers are simulated and after."""
    state, told = tmp_path / "state", list[Step]()
    whole = trained(told)
    with pytest.raises(InterruptedError):
        trained([], state, stop)
    again: list[Step] = []
    assert same(trained(again, state), whole)
    assert again == told[stop // 5 :]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state"]
    with pytest.raises(ValueError, match="another head"):
        trained([], state, spec=DensitySpec(1, False, False, 5))
    state.write_bytes(state.read_bytes()[:-30])
    with pytest.raises(ValueError, match="no state of a training"):
        trained([], state)


def test_threads_decide_no_weight() -> None:
    one = trained([], threads=1)
    assert all(same(trained([], threads=threads), one) for threads in (2, 5))


def test_a_state_of_another_optimiser_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with state.open("wb") as file:
        np.savez(file, step=np.array(5), scales=np.zeros(5), p0=np.zeros(3), m0=np.zeros(3), v0=np.zeros(3))
    with pytest.raises(ValueError, match="no state of a training that can be gone on with"):
        trained([], state)


def test_a_step_in_one_is_that_of_the_parts() -> None:
    """What a GPU is given, on the CPU: a batch whole, and the gradient of its mean."""
    model, other = DensityModel(SPEC, 3), DensityModel(SPEC, 3)
    optimiser = Adam(other.vector)

    def whole(batch: Batch, sizes: Tensor) -> Tensor:
        leaves = other.take()
        loss = bits_of(*other(*batch[:2]), batch[2]).mean()
        each = torch.autograd.grad(loss, leaves, allow_unused=True)
        flat = [torch.zeros_like(w) if g is None else g for g, w in zip(each, leaves, strict=True)]
        optimiser.step(torch.cat([g.reshape(-1) for g in flat]), sizes)
        return loss.detach()

    def loss(inputs: Tensor, flags: Tensor, errors: Tensor) -> Tensor:
        return bits_of(*model(inputs, flags), errors).mean()

    plan, told, losses = Descent(6, 6, 1e-3, warm=1), list[Step](), []
    descend(model, plan, drawn, loss, model.choose_scales, listen=told.append, every=1)
    move = Captured(whole, other, optimiser)
    for step in range(plan.steps):
        losses.append(float(move(drawn(step), optimiser.sizes(plan.rate_at(step)))))
    assert losses == pytest.approx([at.loss for at in told], rel=1e-4)


def test_calling_thread_keeps_to_one_thread_of_torch_and_gets_its_own_number_back() -> None:
    before, found = torch.get_num_threads(), []
    model = DensityModel(SPEC, 3)

    def loss(inputs: Tensor, flags: Tensor, errors: Tensor) -> Tensor:
        return bits_of(*model(inputs, flags), errors).mean()

    def settle() -> None:
        found.append(torch.get_num_threads())
        raise InterruptedError

    torch.set_num_threads(2)
    try:
        with pytest.raises(InterruptedError):
            descend(model, PLAN, drawn, loss, settle, every=5)
        assert found == [1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_steps_are_those_of_torchs_own_adam() -> None:
    rng = np.random.default_rng(5)
    start = torch.from_numpy(rng.normal(size=24).astype(np.float32))
    ours, theirs = start.clone(), torch.nn.Parameter(start.clone())
    optimiser, reference = Adam(ours), torch.optim.Adam([theirs], lr=1.0)
    for step in range(8):
        gradient = torch.from_numpy(rng.normal(size=24).astype(np.float32))
        theirs.grad = gradient.clone()
        optimiser.step(gradient, optimiser.sizes(1e-2 / (step + 1)))
        reference.param_groups[0]["lr"] = 1e-2 / (step + 1)
        reference.step()
    assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_training_does_not_import_torchs_compiler() -> None:
    program = (
        "import sys, torch; import heads.loop; from heads.adam import Adam\n"
        "p = Adam(torch.ones(2)); p.step(torch.ones(2), p.sizes(0.1))\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, timeout=300)
