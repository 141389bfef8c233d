"""The interface of a wind, which computes the wind (u, v) of a transported field from fields of the state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from jaxtyping import Array, Float

from pinnwx.grid import Grid
from pinnwx.operators.compact import compact_curl

Field = Float[Array, "*batch lat lon"]
Wind = tuple[Field, Field]


class AbstractWind(ABC):
    """The wind that transports a field. Subclasses are frozen dataclasses: hashable, hence static under jit.

    Attributes:
        syntax: its form in settings, `kind:SOURCE`; for error messages.
        is_diagnosed: whether it is computed from the fields. The components of any other wind are fields themselves,
            which are features of the network anyway.
        ends_at_edge: whether it is zero beyond the edge of a regional grid. Any other wind continues with its value
            at the edge.
    """

    syntax: ClassVar[str]
    is_diagnosed: ClassVar[bool] = True
    ends_at_edge: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def from_source(cls, source: str) -> AbstractWind:
        """The wind that settings write as `kind:source`.

        Raises:
            ValueError: the source has another form.
        """

    @property
    @abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """Names of the fields that it is computed from."""

    @abstractmethod
    def __call__(self, fields: Mapping[str, Field], grid: Grid) -> Wind:
        """(u, v) at the cell centres [m s-1], eastward and northward; each field is (*batch, lat, lon)."""

    def cell_vorticity(self, fields: Mapping[str, Field], grid: Grid) -> Field:
        """Its vorticity [s-1], the mean of each cell."""
        return compact_curl(*self(fields, grid), grid)


class AbstractVorticityWind(AbstractWind):
    """A wind whose vorticity may be transported where it is no forecast field: its inputs take up the change."""

    @property
    @abstractmethod
    def vorticity_level(self) -> str | None:
        """The level of its vorticity as in field names, `850`; None where it may be that of any level."""

    @abstractmethod
    def change_of_inputs(self, streamfunction: Field, geopotential: Field, grid: Grid) -> dict[str, Field]:
        """The change of the inputs, in their units, for a change of the streamfunction of the wind [m2 s-1].

        `geopotential` is in balance with it [m2 s-2].
        """
