"""Steps of a training on a GPU: captured once as a graph, and replayed, so that a step is one call however many kernels
it takes. Batches and sizes of steps are copied into tensors that stay; nothing comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from .adam import Adam
from .twin import FloatTwin

WARM = 3  # steps before a capture, for what kernels make at their first calls

Batch = tuple[Tensor, ...]
Shape = tuple[object, ...]


@contextmanager
def same_sums() -> Iterator[None]:
    """Within, cuDNN takes kernels that sum in the same order each time."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


class Captured:
    """Makes the steps that `move` makes of a batch and sizes, all on the model's device. Where the driver does not
    capture, steps are made one kernel after another."""

    def __init__(self, move: Callable[[Batch, Tensor], Tensor], model: FloatTwin, optimiser: Adam):
        self._move, self._model = move, model
        self._kept = [model.vector, optimiser.mean, optimiser.square]
        self._graphs: dict[Shape, tuple[torch.cuda.CUDAGraph, Batch, Tensor]] = {}
        self._captures = model.vector.is_cuda

    def __call__(self, batch: Batch, sizes: Tensor) -> Tensor:
        given = (*batch, sizes)
        device = self._model.vector.device
        if self._captures:
            key = (self._model.quantised, tuple(self._model.scale_bits), *(t.shape for t in given))
            try:
                if key not in self._graphs:
                    self._graphs[key] = self._capture(tuple(t.to(device) for t in given))
            except RuntimeError:
                self._captures = False
            else:
                graph, places, found = self._graphs[key]
                for place, tensor in zip(places, given, strict=True):
                    place.copy_(tensor.pin_memory(), non_blocking=True)
                graph.replay()
                return found
        *rest, size = (t.to(device) for t in given)
        return self._move(tuple(rest), size)

    def _capture(self, places: Batch) -> tuple[torch.cuda.CUDAGraph, Batch, Tensor]:
        """A graph of a step, the tensors that it reads, and its loss; the training is where it was."""
        before = [t.clone() for t in self._kept]
        try:
            beside = torch.cuda.Stream()
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                for _ in range(WARM):
                    self._move(places[:-1], places[-1])
            torch.cuda.current_stream().wait_stream(beside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                found = self._move(places[:-1], places[-1])
        finally:
            for tensor, then in zip(self._kept, before, strict=True):
                tensor.copy_(then)
        return graph, places, found
