"""Settings of forecast files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from pinnwx.settings import Settings, agreement

_OWN_ATTRIBUTES = frozenset({
    "Conventions", "history", "model", "model_sha256", "config", "versions", "data_sha256", "inputs_sha256",
    "boundary_sha256", "request_sha256", "content_sha256", "members", "perturbation_scale", "model_error_scale",
    "boundary_width", "accepted", "preliminary",
})  # fmt: skip
_AttributeName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
_AttributeText = Annotated[str, Field(min_length=1, max_length=4096)]


class OutputSettings(Settings):
    """Forecast files. This table may be edited in the config.toml of a run folder; the next forecast uses it."""

    attributes: dict[_AttributeName, _AttributeText] = Field(
        default_factory=dict, examples=[{"institution": "Example Weather Service"}]
    )
    """Global attributes of forecast files, such as institution, references or contact. Without them the institution is
    "not stated"."""

    @agreement
    def _not_ours(self) -> Iterator[str]:
        if reserved := sorted(_OWN_ATTRIBUTES & self.attributes.keys()):
            yield f"attributes: {', '.join(reserved)} are written by pinnwx; choose other names"
