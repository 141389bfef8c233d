"""Public archives of ERA5 as zarr stores in Google's cloud; no account is needed."""

from __future__ import annotations

from typing import ClassVar

from pinnwx.sources.zarr_store import ZarrStore


class WeatherBench2(ZarrStore):
    """ERA5 averaged conservatively onto 5.625 degrees, every six hours from 1959 to January 2023 (Rasp et al. 2024)."""

    default_location: ClassVar[str] = (
        "gs://weatherbench2/datasets/era5/1959-2023_01_10-6h-64x32_equiangular_conservative.zarr"
    )


class ArcoEra5(ZarrStore):
    """ERA5 on 0.25 degrees, every hour, 37 levels, up to the recent past (Carver and Merose 2023)."""

    default_location: ClassVar[str] = "gs://gcp-public-data-arco-era5/ar/full_37-1h-0p25deg-chunk-1.zarr-v3"
