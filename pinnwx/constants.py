"""Physical constants in SI units."""

EARTH_RADIUS = 6.371e6  # m, mean radius
EARTH_ROTATION = 7.292e-5  # s-1, sidereal
STANDARD_GRAVITY = 9.80665  # m s-2
DRY_AIR_GAS_CONSTANT = 287.05  # J kg-1 K-1
REFERENCE_AIR_DENSITY = 1.2  # kg m-3, near the surface: geostrophic wind from pressure
SECONDS_PER_HOUR = 3600.0
