"""Operators as programs: one that is not compiled is a program for each of its operations."""

import functools
import inspect

import jax

_STATIC = {"grid", "groups", "function", "scheme", "order", "damping_time", "maximum_ratio", "width", "sign", "axes"}
_STATIC |= {"degree", "iterations", "variant", "variants", "steps", "resolved_spacing", "deformation_radius"}


def compiled(operator):
    """The operator as one program for each grid and choice. It returns NumPy arrays, except within another program."""
    program = jax.jit(operator, static_argnames=_STATIC & set(inspect.signature(operator).parameters))

    @functools.wraps(operator)
    def call(*arguments, **named):
        result = program(*arguments, **named)
        traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(result))
        return result if traced else jax.device_get(result)

    return call
