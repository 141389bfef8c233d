"""`pinnwx doctor`: what this machine offers."""

from __future__ import annotations


def doctor() -> None:
    """Show what this machine offers, and obstacles to jobs."""
    from pinnwx.jobs.doctor import doctor as job
    from pinnwx.terminal.health import doctor_lines

    doctor_lines(job())
