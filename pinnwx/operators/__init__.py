"""Discrete operators on the sphere: arrays in, arrays out; pure, differentiable, jit-able, float32 and float64.

Fields are `(*batch, lat, lon)`. A `Grid` is a static argument. On a regional grid every operator takes the same
`boundary`: an array of the padded shape of which only the frame is read; without it the normal gradient is zero.
"""
