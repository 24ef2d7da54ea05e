"""Grammars of texts with a fixed form: dates, times, UUIDs, URLs, addresses, durations."""

import re
from collections.abc import Mapping, Sequence

from tunesmith.lazy import lazy_pattern

__all__ = ["BY_FOUR", "FORMS", "MONTH_AND_DAY", "fills_form", "uri_rule"]

# Exactly the valid days, with the leap years of the Gregorian calendar.
BY_FOUR = '("0" [48] | [2468] [048] | [13579] [26])'
_YEAR = '("000" [1-9] | "00" [1-9] [0-9] | "0" [1-9] [0-9]{2} | [1-9] [0-9]{3})'
MONTH_AND_DAY = (
    '(("0" [13578] | "1" [02]) "-" ("0" [1-9] | [1-2] [0-9] | "3" [0-1]) '
    '| ("0" [469] | "11") "-" ("0" [1-9] | [1-2] [0-9] | "30") | "02-" ("0" [1-9] | "1" [0-9] | "2" [0-8]))'
)
_DATE = f'({_YEAR} "-" {MONTH_AND_DAY} | ([0-9]{{2}} {BY_FOUR} | {BY_FOUR} "00") "-02-29")'
_CLOCK = '([0-1] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9]'
_ZONE = '("Z" | [+-] [0-1] [0-9] ":" [0-5] [0-9])'

_HEX = "[0-9a-f]"
_GROUP = "[0-9a-fA-F]{1,4}"
_OCTET = '("25" [0-5] | "2" [0-4] [0-9] | "1" [0-9]{2} | [1-9]? [0-9])'
_IPV4 = f'{_OCTET} "." {_OCTET} "." {_OCTET} "." {_OCTET}'
_UPTO_32 = '([1-2]? [0-9] | "3" [0-2])'
_UPTO_128 = '([1-9]? [0-9] | "1" [0-1] [0-9] | "12" [0-8])'
# The host bits of a network are zero.
_NETWORKS = (
    f'{_IPV4} "/32" | {_OCTET} "." {_OCTET} "." {_OCTET} ".0/24" '
    f'| {_OCTET} "." {_OCTET} ".0.0/16" | {_OCTET} ".0.0.0/8"'
)


def _ipv6() -> str:
    whole = f'{_GROUP} (":" {_GROUP}){{7}}'
    short = []
    for left in range(8):
        before = "" if left == 0 else _GROUP if left == 1 else f'{_GROUP} (":" {_GROUP}){{{left - 1}}}'
        room = 7 - left
        after = "" if room == 0 else f'({_GROUP} (":" {_GROUP}){{0,{room - 1}}})?'
        short.append(f'{before} "::" {after}'.strip())
    return " | ".join([whole, *short])


_IPV6 = _ipv6()


def _uuid(version: str) -> str:
    third, fourth = (
        (f"{_HEX}{{4}}", f"{_HEX}{{4}}") if not version else (f'"{version}" {_HEX}{{3}}', f"[89ab] {_HEX}{{3}}")
    )
    return f'{_HEX}{{8}} "-" {_HEX}{{4}} "-" {third} "-" {fourth} "-" {_HEX}{{12}}'


_HOURS = '[0-9]{1,6} "H" ([0-9]{1,6} "M")? (_S)? | [0-9]{1,6} "M" (_S)? | _S'
_HMS = _HOURS.replace("_S", '[0-9]{1,6} ("." [0-9]{1,6})? "S"')
_DURATION = f'"-"? "P" ([0-9]{{1,6}} "D" ("T" ({_HMS}))? | "T" ({_HMS}))'

# No part of a host is empty or starts or ends with a hyphen. The last starts with a letter, else it is an IP address.
_LABEL = '[A-Za-z0-9]{1,30} ("-" [A-Za-z0-9]{1,30}){0,3}'
_HOST = f'({_LABEL} "."){{0,5}} [A-Za-z] [A-Za-z0-9]{{0,30}} (":" [1-9] [0-9]{{0,3}})?'
_TAIL = 255
_REST = f"([/?#] [A-Za-z0-9._~!$&()*+,;=:@%/?#-]{{0,{_TAIL}}})?"

FORMS: Mapping[str, str] = {
    "date": _DATE,
    "date-time": f'{_DATE} "T" {_CLOCK} {_ZONE}',
    "local-date-time": f'{_DATE} "T" {_CLOCK}',
    "time": f"{_CLOCK} {_ZONE}",
    "local-time": _CLOCK,
    "uuid": _uuid(""),
    **{f"uuid{version}": _uuid(version) for version in "1345678"},
    "duration": _DURATION,
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "ipvanyaddress": f"{_IPV4} | {_IPV6}",
    "ipv4interface": f'{_IPV4} ("/" {_UPTO_32})?',
    "ipv6interface": f'({_IPV6}) ("/" {_UPTO_128})?',
    "ipvanyinterface": f'{_IPV4} ("/" {_UPTO_32})? | ({_IPV6}) ("/" {_UPTO_128})?',
    "ipv4network": _NETWORKS,
    "ipv6network": f'({_IPV6}) "/128"',
    "ipvanynetwork": f'{_NETWORKS} | ({_IPV6}) "/128"',
}
"""The body of a rule for each form that a grammar can express; every match is a value of the type."""

_FILLED = {"uri": lazy_pattern(rf"[^:]*:/+[^/?#]*[/?#].{{{_TAIL}}}", re.DOTALL)}


def uri_rule(schemes: Sequence[str]) -> str:
    """Return the body of a rule for a URL with one of these schemes, or with any scheme."""
    if not schemes:
        return f'("http" "s"? | "ftp" | "ws" "s"?) "://" {_HOST} {_REST}'
    named = " | ".join(f'"{scheme}"' for scheme in schemes)
    if list(schemes) == ["file"]:
        return f'"file://" {_REST.replace("[/?#]", "[/]").removesuffix("?")}'
    return f'({named}) "://" {_HOST} {_REST}'


def fills_form(form: str, text: str) -> bool:
    """Return whether a text reaches our own bound for its form, so that it was probably cut."""
    known = _FILLED.get(form)
    return known is not None and known.fullmatch(text) is not None
