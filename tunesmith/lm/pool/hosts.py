"""The hosts of a pool: which of them live, and which one a prefix goes to."""

import hashlib
import itertools
import threading
import warnings
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any

from tunesmith.errors import ModelError, ModelUnavailable, UsageError
from tunesmith.lm.engine import Engine, Identity, unavailable
from tunesmith.lm.waiting import Policy

__all__ = ["Host", "Hosts", "placeless"]

_PLACES = frozenset({"address", "host", "url"})  # details of an identity that say where, not what
_KEPT = 1024  # prefixes whose host is remembered
_LOOKS = Policy(pause=1.0, longest=30.0)  # at a dead host


class Host:
    """One host. Its fields change under the lock of its `Hosts` only.

    Attributes:
        name: its address.
        live: whether it gets requests.
        in_flight: requests it is working on.
        calls: requests it was given so far.
        problem: why it gets none, `None` if it gets some.
    """

    def __init__(self, name: str, make: Callable[[], Engine]) -> None:
        self.name, self.make = name, make
        self.made: Engine | None = None
        self.live = False
        self.barred = False  # it serves another model: it is not looked at again
        self.in_flight = self.calls = 0
        self.problem: str | None = None
        self.due, self.misses, self.probed = 0.0, 0, False

    @property
    def engine(self) -> Engine:
        """What answers there; only a host that has lived has one."""
        assert self.made is not None
        return self.made


class Hosts:
    """All hosts of one pool, with its prefixes. Safe from many threads.

    Args: as `PoolEngine`.
    """

    def __init__(
        self, makers: Mapping[str, Callable[[], Engine]], *, slots: int, hold: int, clock: Callable[[], float]
    ) -> None:
        self.all = [Host(name, make) for name, make in makers.items()]
        self._slots, self._clock = slots, clock
        self._lock = threading.Lock()
        self._homes: OrderedDict[str, Host] = OrderedDict()  # of a prefix, where it belongs
        self._away: OrderedDict[str, Host] = OrderedDict()  # where it is while a host is down
        self._recent: deque[str] = deque(maxlen=hold)
        self._kin: tuple[str, dict[str, Any]] | None = None

    def start(self) -> Identity:
        """Return what the hosts serve, after a look at each.

        Raises:
            UsageError: they serve different models.
            ModelUnavailable: none of them answers.
        """
        first: Identity | None = None
        for host in self.all:
            try:
                host.made = host.make()
                identity = host.made.identity
            except ModelUnavailable as error:
                host.live = True  # so that losing it is noted
                self.lost(host, error)
                continue
            problem = self._stranger(host.name, identity)
            if problem is not None:
                raise UsageError(problem)
            host.live = True
            first = first or identity
        if first is None:
            raise self.no_host()
        return first

    def take(self, prefix: str | None, tried: set[str]) -> Host | None:
        """Return a live host that was not tried, with one request more in flight; `None` if there is none."""
        with self._lock:
            self._look_after_dead()
            live = [host for host in self.all if host.live and host.name not in tried]
            if not live:
                return None
            host = self._choose(prefix, live)
            host.in_flight += 1
            host.calls += 1
            return host

    def leave(self, host: Host) -> None:
        """Note that a request to `host` is over."""
        with self._lock:
            host.in_flight -= 1

    def lost(self, host: Host, error: Exception) -> None:
        """Note that `host` did not answer."""
        with self._lock:
            host.problem = str(error)
            if host.live:
                host.live, host.misses = False, 0
                self._miss(host)

    def _miss(self, host: Host) -> None:
        host.misses += 1
        host.due = self._clock() + _LOOKS.pause_after(host.misses)

    def revive(self) -> None:
        """Look at every dead host now."""
        with self._lock:
            dead = [host for host in self.all if not (host.live or host.barred or host.probed)]
            for host in dead:
                host.probed = True
        for host in dead:
            self._probe(host)

    def no_host(self) -> ModelError:
        """Return the error for a pool in which no host answers."""
        problems = "; ".join(f"{host.name}: {host.problem}" for host in self.all)
        return unavailable(f"None of the hosts answers. {problems}")

    # Which host ---------------------------------------------------------------------------------------------

    def _choose(self, prefix: str | None, live: list[Host]) -> Host:
        if prefix is None:
            return min(live, key=lambda host: host.in_flight)
        home = self._home(prefix, live)
        if home.in_flight >= self._slots:
            others = {self._place(other) for other in self._recent if other != prefix}
            free = [host for host in live if host.in_flight < self._slots and host not in others]
            home = min(free, key=lambda host: host.in_flight, default=home)
        self._recent.append(prefix)
        return home

    def _home(self, prefix: str, live: list[Host]) -> Host:
        """Return the live host of `prefix`: for a new one that with the least to do, then with the fewest prefixes."""
        for table in (self._homes, self._away):
            host = table.get(prefix)
            if host is not None and host in live:
                table.move_to_end(prefix)
                return host
        given = Counter(itertools.chain(self._homes.values(), self._away.values()))
        host = min(live, key=lambda host: (host.in_flight, given[host], _score(host.name, prefix)))
        whole = all(host.live or host.barred for host in self.all)
        table = self._homes if whole and prefix not in self._homes else self._away
        table[prefix] = host
        if len(table) > _KEPT:
            table.popitem(last=False)
        return host

    def _place(self, prefix: str) -> Host | None:
        host = self._homes.get(prefix)
        return host if host is not None and host.live else self._away.get(prefix)

    # Hosts that come back -----------------------------------------------------------------------------------

    def _look_after_dead(self) -> None:
        """Send a probe, beside the running call, to every dead host whose time has come."""
        for host in self.all:
            if not (host.live or host.barred or host.probed) and self._clock() >= host.due:
                host.probed = True
                threading.Thread(target=self._probe, args=(host,), name="tunesmith-probe", daemon=True).start()

    def _probe(self, host: Host) -> None:
        """Look whether `host` is back, and with the same model."""
        problem = stranger = None
        try:
            made = host.make()
            ping = getattr(made, "ping", None)  # an engine that reads its identity from the server needs none
            if ping is not None:
                ping()
            stranger = self._stranger(host.name, made.identity)
        except Exception as error:  # noqa: BLE001 - after any error the host is not used, and its status says why
            problem = str(error)
        with self._lock:
            host.probed = False
            host.problem = problem or stranger
            if problem is not None:
                self._miss(host)
            elif stranger is not None:
                host.barred = True
            else:
                host.made, host.live = made, True
                self._away.clear()
        if stranger is not None:
            warnings.warn(stranger, RuntimeWarning, stacklevel=2)

    def _stranger(self, name: str, identity: Identity) -> str | None:
        """Return how what `name` serves differs from the other hosts, `None` if it does not."""
        kin = {"backend": identity.backend, "model": identity.model, "digest": identity.digest, **_what(identity)}
        if identity.digest is None and not kin.get("revision"):
            raise UsageError(
                f"{name} does not say which weights it serves. If you know that all hosts serve the same, say it "
                "with `revision=`, any text that changes with the weights."
            )
        if self._kin is None:
            self._kin = name, kin
            return None
        other, expected = self._kin
        differing = [key for key in sorted({*kin, *expected}) if kin.get(key) != expected.get(key)]
        if not differing:
            return None
        found = "; ".join(f"{key} {kin.get(key)} there, {expected.get(key)} on {other}" for key in differing)
        return (
            f"{name} does not serve the same model as {other}: {found}. Bring both to the same version of server and "
            "model, or leave the host out."
        )


def placeless(identity: Identity) -> Identity:
    """Return `identity` without the place: a reply is the same whichever host gave it."""
    return Identity(identity.backend, identity.model, identity.digest, tuple(_what(identity).items()))


def _what(identity: Identity) -> dict[str, str]:
    return {name: value for name, value in identity.details if name not in _PLACES}


def _score(name: str, prefix: str) -> str:
    return hashlib.sha256(f"{name}\n{prefix}".encode()).hexdigest()
