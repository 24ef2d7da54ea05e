"""`tunesmith cache`: manage the cached replies."""

import datetime

from tunesmith.cli.amounts import age, size
from tunesmith.cli.failures import DONE, ERROR
from tunesmith.cli.output import agreed, bytes_text, emit, note, say
from tunesmith.errors import UsageError, counted
from tunesmith.lm import reply_cache

__all__ = ["clear", "prune", "stats", "verify"]

_LISTED = 20


def stats(*, as_json: bool) -> int:
    """Count the cached replies."""
    cache = reply_cache()
    found = cache.stats()
    if as_json:
        emit(
            {
                "folder": str(cache.folder),
                "rows": found.rows,
                "bytes": found.bytes,
                "oldest": _moment(found.oldest),
                "newest": _moment(found.newest),
            }
        )
        return DONE
    say(f"{counted(found.rows, 'reply', 'replies')}, {bytes_text(found.bytes)}, in {cache.folder}")
    if found.oldest is not None:
        say(f"from {_moment(found.oldest)} to {_moment(found.newest)}")
    return DONE


def verify(*, as_json: bool) -> int:
    """Check every reply without changing anything. The exit code is 1 if one is damaged."""
    found = reply_cache().verify()
    if as_json:
        bad = [{"key": key, "reason": reason} for key, reason in found.bad]
        damage = list(found.damage)
        emit({"rows": found.rows, "ok": found.ok, "bad": bad, "damage": damage, "orphans": found.orphans})
    else:
        say(f"{found.rows:,} replies read, {len(found.bad)} damaged, {found.orphans} files that belong to none")
        for key, reason in found.bad[:_LISTED]:
            say(f"  {key}: {reason}")
        for text in found.damage:
            say(f"  database: {text}")
    if not found.ok:
        note(
            "error: the cache is damaged. `tunesmith cache prune --corrupt` removes damaged replies, and damaged "
            "database files with all that is in them."
        )
        return ERROR
    return DONE


def prune(*, older_than: str | None, max_size: str | None, corrupt: bool, as_json: bool) -> int:
    """Remove some replies. The options are independent."""
    if older_than is None and max_size is None and not corrupt:
        raise UsageError("Give what to remove: --older-than AGE, --max-size SIZE or --corrupt.")
    oldest = None if older_than is None else age(older_than, "--older-than")
    largest = None if max_size is None else size(max_size, "--max-size")
    removed = reply_cache().prune(older_than=oldest, max_bytes=largest, corrupt=corrupt)
    return _say_removed(removed, as_json=as_json)


def clear(*, yes: bool, as_json: bool) -> int:
    """Remove every reply. A program that asks for it again pays again."""
    cache = reply_cache()
    if not (yes or agreed(f"Remove all {cache.stats().rows:,} replies in {cache.folder}?")):
        return _say_removed(0, as_json=as_json)
    return _say_removed(cache.clear(), as_json=as_json)


def _say_removed(removed: int, *, as_json: bool) -> int:
    if as_json:
        emit({"removed": removed})
    else:
        say(f"{counted(removed, 'reply', 'replies')} removed")
    return DONE


def _moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
