"""Which fields of an event say what of whom; one reader for each kind of event.

Kinds of entities and what they learn:

- authentication: user (source.*, device, host, logon.success and .failure by address, places),
  source (logon.* by user), host (user), service (logon.* by address, user.success and .failure)
- process: host (process, process.parent, process.user), user (process, process.parent)
- network: host and user (destination, destination.as, destination.bytes), times of the host's
- file: user (object)
- web: source (url.path, user_agent, status, url.query, times), service (source.ip, status)
- iam: user (privilege)
- anything with cloud.*: key (api.action, source.*, device), user (api.action)
- anything with dns.*: host (dns.domain, dns.name, dns.nxdomain), domain (host, dns.name)
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from detect.behavior.observation import MAX_TEXT, Observation, Place
from detect.behavior.profile import bounded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Accounts that are nobody's.
_NOBODY = frozenset(
    {"", "-", "system", "local service", "network service", "anonymous logon", "unknown", "n/a"}
)
#: Most texts that one batch gathers of one entity, before they are bounded.
_GATHERED = 512


class Sight:
    """One event while it is read, and the observations it goes into; used for event after event.

    Samples are plain tuples until an observation is finished: making named ones costs five times
    as much, and most are made in vain.
    """

    __slots__ = (
        *("at", "behind", "event", "id", "open", "origin", "start", "tenant", "told", "touched"),
    )

    def __init__(self, open: dict[tuple[str, str, str, int], Observation]) -> None:
        self.open = open
        self.touched = self.behind = False
        self.event: Mapping[str, Any] = {}
        self.told: Mapping[str, Any] = {}
        self.at = self.start = 0
        self.tenant = self.id = self.origin = ""

    def of(self, kind: str, id: str) -> Observation:
        """The observation of an entity in this slice; the event widens its span."""
        self.touched = True
        at = self.at
        key = (self.tenant, kind, id, self.start)
        try:
            made = self.open[key]
        except KeyError:
            made = Observation(key[:3], self.start, at, at)  # type: ignore[arg-type]
            made.samples.append((at, self.id, self.origin))  # type: ignore[arg-type]
            self.open[key] = made
            self.behind = False
            return made
        if at > made.last:
            made.last = at
            self.behind = False
            return made
        self.behind = True
        if at <= made.first:
            made.first = at
            if not made.counts:
                earlier: Any = (at, self.id, self.origin)
                made.samples[0] = min(made.samples[0], earlier)
        return made

    def acting(self, kind: str, id: str) -> Observation:
        """The same, and the event is counted."""
        made = self.of(kind, id)
        sums = made.sums
        sums["events"] = sums["events"] + 1 if "events" in sums else 1
        return made

    def count(self, into: Observation, feature: str, value: str, amount: float = 1) -> None:
        """An amount of a value, with this event as its sample if it is the first.

        Goes with the last `of` of the same observation, which says whether time went back.
        """
        try:
            entry = into.counts[feature][value]
        except KeyError:
            into.counts.setdefault(feature, {})[value] = [amount, self._sample(into)]
            return
        entry[0] += amount
        if self.behind and (self.at, self.id, self.origin) < into.samples[int(entry[1])]:
            entry[1] = self._sample(into)

    def _sample(self, into: Observation) -> int:
        samples = into.samples
        if samples[-1][1] != self.id:
            samples.append((self.at, self.id, self.origin))  # type: ignore[arg-type]
        return len(samples) - 1

    def user(self) -> str:
        """Whose event it is, folded; "" for nobody and for machines' accounts."""
        user = self.event.get("user")
        name = user.get("name") if isinstance(user, dict) else None
        return _person(name) if isinstance(name, str) else ""

    def text(self, section: str, name: str) -> str:
        """A text field of a section, "" where there is none."""
        body = self.event.get(section)
        if isinstance(body, dict):
            value = body.get(name)
            if isinstance(value, str):
                return value
        return ""

    def peer(self) -> str:
        """The peer group that the inventory names: the account's first tag, else its owner."""
        spine = self.event.get("tocsin")
        identity = spine.get("identity") if isinstance(spine, dict) else None
        known = identity.get("user") if isinstance(identity, dict) else None
        if not isinstance(known, dict):
            return ""
        tags = known.get("tags")
        return str(tags[0]) if tags else str(known.get("owner", ""))


@lru_cache(maxsize=65_536)
def _person(name: str) -> str:
    folded = name.strip().casefold()
    return "" if folded in _NOBODY or folded.endswith("$") else bounded(folded)


@lru_cache(maxsize=65_536)
def _value(text: str) -> str:
    return bounded(text)


@lru_cache(maxsize=65_536)
def _folded(text: str) -> str:
    return bounded(text.casefold())


def _sum(into: Observation, name: str, amount: float) -> None:
    sums = into.sums
    sums[name] = sums[name] + amount if name in sums else amount


def _number(body: Any, name: str) -> float:
    value = body.get(name) if isinstance(body, dict) else None
    return value if isinstance(value, (int, float)) and value > 0 else 0


def _note(into: Observation, name: str, text: str) -> None:
    texts = into.texts.setdefault(name, [])
    if len(texts) < _GATHERED:
        texts.append(text[:MAX_TEXT])


def _moment(into: Observation, feature: str, value: str, at: int) -> None:
    into.times.setdefault(feature, {}).setdefault(value, []).append(at)


def _origins(sight: Sight, into: Observation) -> None:
    """Where somebody came from: address, network, country, device."""
    source = sight.event.get("source")
    if isinstance(source, dict):
        if isinstance(address := source.get("ip"), str):
            sight.count(into, "source.ip", address)
        system = source.get("as")
        if isinstance(system, dict) and (number := system.get("number")) is not None:
            sight.count(into, "source.as", f"AS{number}")
        geo = source.get("geo")
        if isinstance(geo, dict) and isinstance(country := geo.get("country_iso_code"), str):
            sight.count(into, "source.geo.country", country)
    if device := _device(sight):
        sight.count(into, "device", device)


def _device(sight: Sight) -> str:
    if device := sight.text("device", "id"):
        return _value(device)
    agent = sight.event.get("user_agent")
    if not isinstance(agent, dict):
        return ""
    system, name = agent.get("os"), agent.get("name")
    if isinstance(system, dict) and system.get("name") and isinstance(name, str):
        return _value(f"{name} on {system['name']}")
    original = agent.get("original")
    return _value(original) if isinstance(original, str) else ""


def _place(sight: Sight, address: str) -> Place | None:
    source = sight.event.get("source")
    geo = source.get("geo") if isinstance(source, dict) else None
    location = geo.get("location") if isinstance(geo, dict) else None
    if not isinstance(location, dict) or not isinstance(geo, dict):
        return None
    lat, lon = location.get("lat"), location.get("lon")
    if not isinstance(lat, (int, float)) or not isinstance(lon, (int, float)):
        return None
    return Place(sight.at, lat, lon, _number(geo, "accuracy_radius"), address)


def _logon(sight: Sight) -> None:
    outcome = sight.told.get("outcome")
    if outcome not in ("success", "failure"):
        return
    kinds = sight.told.get("type") or ()
    if "end" in kinds:
        return
    ok = outcome == "success"
    feature = "logon.success" if ok else "logon.failure"
    total = "logon.successes" if ok else "logon.failures"
    user, address = sight.user(), sight.text("source", "ip")
    host = _folded(sight.text("host", "name"))
    if user:
        own = sight.acting("user", user)
        _sum(own, total, 1)
        sight.count(own, feature, address or host)
        if not own.peer:
            own.peer = sight.peer()
        if ok:
            _origins(sight, own)
            if host:
                sight.count(own, "host", host)
            if address and (place := _place(sight, address)) is not None:
                own.places.append(place)
        _moment(own, feature, address or host, sight.at)
    if address:
        source = sight.acting("source", address)
        _sum(source, total, 1)
        if user:
            sight.count(source, feature, user)
            _moment(source, feature, user, sight.at)
        if host:
            sight.count(source, "host", host)
    if host:
        machine = sight.acting("host", host)
        _sum(machine, total, 1)
        if user and ok:
            sight.count(machine, "user", user)
    if service := sight.text("service", "name") or host:
        offered = sight.of("service", _folded(service))
        _sum(offered, total, 1)
        if address:
            sight.count(offered, feature, address)
        if user:
            sight.count(offered, "user.success" if ok else "user.failure", user)


def _process(sight: Sight) -> None:
    process = sight.event.get("process")
    if not isinstance(process, dict) or not isinstance(name := process.get("name"), str):
        return
    kinds = sight.told.get("type") or ("start",)
    if "start" not in kinds:
        return
    name = _folded(name)
    parent = process.get("parent")
    born = parent.get("name") if isinstance(parent, dict) else None
    pair = f"{_folded(born)} > {name}" if isinstance(born, str) else ""
    user, host = sight.user(), _folded(sight.text("host", "name"))
    if host:
        machine = sight.acting("host", host)
        sight.count(machine, "process", name)
        if pair:
            sight.count(machine, "process.parent", pair)
        if user:
            sight.count(machine, "process.user", user)
    if user:
        own = sight.acting("user", user)
        sight.count(own, "process", name)
        if pair:
            sight.count(own, "process.parent", pair)


def _network(sight: Sight) -> None:
    destination = sight.event.get("destination")
    source = sight.event.get("source")
    if not isinstance(destination, dict):
        return
    named = destination.get("domain") or destination.get("ip")
    if not isinstance(named, str):
        return
    named = _folded(named)
    sent, received = _number(source, "bytes"), _number(destination, "bytes")
    system = destination.get("as")
    number = system.get("number") if isinstance(system, dict) else None
    host = "" if "observer" in sight.event else sight.text("host", "name")
    machine = host.casefold() or sight.text("source", "ip")
    for kind, id in (("host", bounded(machine)), ("user", sight.user())):
        if id:
            into = sight.acting(kind, id)
            sight.count(into, "destination", named)
            _sum(into, "flows", 1)
            if sent:
                _sum(into, "bytes.out", sent)
                sight.count(into, "destination.bytes", named, sent)
            if received:
                _sum(into, "bytes.in", received)
            if number is not None:
                sight.count(into, "destination.as", f"AS{number}")
            if kind == "host":
                _moment(into, "destination", named, sight.at)


def _file(sight: Sight) -> None:
    path = sight.text("file", "path")
    user = sight.user()
    if not path or not user:
        return
    own = sight.acting("user", user)
    _sum(own, "objects", 1)
    sight.count(own, "object", _folder(path))
    if size := _number(sight.event.get("file"), "size"):
        _sum(own, "bytes.read", size)


@lru_cache(maxsize=65_536)
def _folder(path: str) -> str:
    """What a file lies in, at most three levels deep: what is usual is a share, not a file."""
    parts = [part for part in path.replace("\\", "/").casefold().split("/") if part]
    return bounded("/".join(parts[: max(1, min(3, len(parts) - 1))]))


def _web(sight: Sight) -> None:
    address = sight.text("source", "ip")
    service = _folded(
        sight.text("service", "name") or sight.text("url", "domain") or sight.text("host", "name")
    )
    if "authentication" in (sight.told.get("category") or ()):
        return
    response = sight.event.get("http")
    response = response.get("response") if isinstance(response, dict) else None
    status = int(_number(response, "status_code"))
    path, query = sight.text("url", "path"), sight.text("url", "query")
    if address:
        own = sight.acting("source", address)
        _sum(own, "requests", 1)
        _moment(own, "request", "", sight.at)
        if path:
            sight.count(own, "url.path", _value(path))
        if status:
            sight.count(own, "status", str(status))
        if agent := sight.text("user_agent", "original"):
            sight.count(own, "user_agent", _value(agent))
        if query:
            _note(own, "url.query", f"{path}?{query}")
    if service:
        offered = sight.acting("service", service)
        _sum(offered, "requests", 1)
        if address:
            sight.count(offered, "source.ip", address)
        if status:
            sight.count(offered, "status", str(status))


def _iam(sight: Sight) -> None:
    user, action = sight.user(), sight.told.get("action")
    if not user or not isinstance(action, str):
        return
    own = sight.acting("user", user)
    _sum(own, "privileges", 1)
    sight.count(own, "privilege", _value(action))


def read_api(sight: Sight) -> None:
    """A call of a cloud's API: of the key (or account) it was made with, and of the user."""
    action = sight.told.get("action")
    if not isinstance(action, str):
        return
    provider = sight.told.get("provider")
    called = _value(f"{provider}:{action}" if isinstance(provider, str) else action)
    user, key = sight.user(), _identity(sight)
    for kind, id in (("key", key), ("user", user)):
        if id:
            into = sight.acting(kind, id)
            sight.count(into, "api.action", called)
            _sum(into, "calls", 1)
            if sight.told.get("outcome") == "failure":
                _sum(into, "errors", 1)
            if kind == "key":
                _origins(sight, into)


#: How temporary access keys of AWS begin, and the ids of roles: each session has others.
_TEMPORARY, _ROLE = "ASIA", "AROA"


def _identity(sight: Sight) -> str:
    """The lasting key of a call; of a temporary one whom it was given to: the user, or the role."""
    key = _key(sight.event)
    if key and not key.startswith(_TEMPORARY):
        return key
    id = _value(sight.text("user", "id"))
    if id.startswith(_ROLE):
        id = id.partition(":")[0]
    return id or key


#: Where the access key, or what stands for it, is in events of the large clouds.
_KEYS = (
    ("aws", "cloudtrail", "userIdentity", "accessKeyId"),
    ("aws", "cloudtrail", "user_identity", "access_key_id"),
    ("gcp", "audit", "authenticationInfo", "serviceAccountKeyName"),
    ("azure", "activity", "identity", "claims", "appid"),
)


def _key(event: Mapping[str, Any]) -> str:
    for path in _KEYS:
        body: Any = event.get(path[0])
        if body is None:
            continue
        for part in path[1:]:
            body = body.get(part) if isinstance(body, dict) else None
        if isinstance(body, str) and body:
            return _value(body)
    return ""


def read_dns(sight: Sight) -> None:
    """A DNS query: of the machine that asked, and of the domain that was asked for."""
    dns = sight.event.get("dns")
    question = dns.get("question") if isinstance(dns, dict) else None
    name = question.get("name") if isinstance(question, dict) else None
    if not isinstance(name, str) or not isinstance(dns, dict) or not isinstance(question, dict):
        return
    name = name.rstrip(".").casefold()
    domain = question.get("registered_domain")
    domain = domain if isinstance(domain, str) and domain else ".".join(name.split(".")[-2:])
    missing = dns.get("response_code") == "NXDOMAIN"
    observed = "" if "observer" in sight.event else sight.text("host", "name")
    machine = bounded(sight.text("source", "ip") or observed.casefold())
    if machine:
        own = sight.acting("host", machine)
        _sum(own, "queries", 1)
        sight.count(own, "dns.domain", _value(domain))
        _note(own, "dns.name", name)
        if missing:
            _sum(own, "nxdomain", 1)
            _note(own, "dns.nxdomain", name)
    asked = sight.acting("domain", _value(domain))
    _sum(asked, "queries", 1)
    _sum(asked, "name.length", max(0, len(name) - len(domain) - 1))
    if machine:
        sight.count(asked, "host", machine)
    _note(asked, "dns.name", name)


READERS: Mapping[str, Callable[[Sight], None]] = {
    "authentication": _logon,
    "process": _process,
    "network": _network,
    "file": _file,
    "web": _web,
    "iam": _iam,
}
