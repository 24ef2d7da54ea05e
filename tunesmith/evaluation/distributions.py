"""Tails of the distributions that tests need, without SciPy."""

import functools
import math
from statistics import NormalDist

__all__ = ["normal_tail", "student_t_quantile", "student_t_tail"]

_NORMAL = NormalDist()
_TINY = 1e-300
_STEPS = 300


def normal_tail(z: float) -> float:
    """Return the chance that a standard normal value is at least `z`."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def student_t_tail(t: float, df: int) -> float:
    """Return the chance that Student's t with `df` degrees of freedom is at least `t`.

    By the incomplete beta function's continued fraction (Abramowitz & Stegun 1964, 26.5.8 and 26.7.1).
    """
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    tail = 0.5 * _incomplete_beta(df / 2, 0.5, df / (df + t * t), t * t / (df + t * t))
    return tail if t >= 0 else 1 - tail


@functools.lru_cache(maxsize=4096)
def student_t_quantile(probability: float, df: int) -> float:
    """Return the value that Student's t with `df` degrees of freedom stays below with `probability`, by bisection."""
    low, high = -1.0, 1.0
    while 1 - student_t_tail(low, df) > probability:
        low *= 2
    while 1 - student_t_tail(high, df) < probability:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - student_t_tail(middle, df) < probability else (low, middle)
    return (low + high) / 2


def _incomplete_beta(a: float, b: float, x: float, y: float) -> float:
    """Return the integral from 0 to `x`; `y` is `1 - x`, which near 0 cannot be had from `x` exactly."""
    if x <= 0 or y <= 0:
        return 0.0 if x <= 0 else 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(y))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, y) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Evaluate the continued fraction by Lentz's method."""
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, _STEPS):
        before = found
        for top in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away(1 + top * d)
            c = _away(1 + top / c)
            found *= c * d
        if abs(found - before) <= 1e-15 * abs(found):
            break
    return found


def _away(value: float) -> float:
    """Keep a divisor away from zero."""
    return value if abs(value) > _TINY else _TINY
