"""Data-parallel training: each device computes its share of a batch; everything else is on all devices.

The same update runs on one device, on several, and on those of several processes that `jax.distributed.initialize` has
joined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pinnwx.errors import ConfigError

Tree = TypeVar("Tree")


class Devices:
    """The devices that share a batch; equal if they are the same in the same order."""

    def __init__(self, devices: Sequence[Any] | None = None):
        """By default all devices of all processes."""
        self._mesh = Mesh(np.array(jax.devices() if devices is None else list(devices)), ("batch",))
        if jax.process_count() > 1:
            self._meet()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Devices) and self._mesh == other._mesh

    def __hash__(self) -> int:
        return hash(self._mesh)

    def _meet(self) -> None:
        """Connects the processes at once: later, while one compiles, another would give up after 30 s."""
        mean = jax.jit(self.mean_over_shares(lambda zero, shares: zero + shares.sum()))
        jax.block_until_ready(mean(self.on_all(np.zeros(())), self.shared_out(np.zeros(self._mesh.size))))

    def require_even_shares(self, batch_size: int) -> None:
        """Raises:
        ConfigError: the batch size is no multiple of the number of devices.
        """
        count = self._mesh.size
        if batch_size % count:
            raise ConfigError(
                f"training.batch_size = {batch_size} cannot be shared by {count} devices; use a multiple of {count}"
            )

    def mean_over_shares(self, function: Callable[..., Tree]) -> Callable[..., Tree]:
        """`function(all, share, all, ...)` of each device's share of a batch, averaged over the devices.

        Each device runs the whole function: XLA's own partitioning fails at a Fourier transform (CPU, jaxlib 0.10).
        """
        if self._mesh.size == 1:
            return function

        def averaged(first: Any, share: Any, *others: Any) -> Tree:
            return jax.lax.pmean(function(first, share, *others), "batch")

        def over_all(first: Any, batch: Any, *others: Any) -> Tree:
            specs = (PartitionSpec(), PartitionSpec("batch"), *(PartitionSpec() for _ in others))
            mapped = jax.shard_map(
                averaged, mesh=self._mesh, in_specs=specs, out_specs=PartitionSpec(), check_vma=False
            )
            return mapped(first, batch, *others)

        return over_all

    def on_all(self, tree: Tree) -> Tree:
        """The whole arrays on every device."""
        return jax.device_put(tree, NamedSharding(self._mesh, PartitionSpec()))

    def from_all(self, tree: Tree) -> Tree:
        """Arrays of `on_all`, on the default device like those of a model that is read: one program serves both."""
        return jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf)), tree)

    def shared_out(self, batch: np.ndarray) -> jax.Array:
        """An array whose first axis is divided among the devices."""
        return jax.device_put(batch, NamedSharding(self._mesh, PartitionSpec("batch")))
