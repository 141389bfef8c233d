"""Analytic fields and flows on the sphere, with exact solutions, shared by the tests."""
