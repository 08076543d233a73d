"""Server distributions, fetched once into `.dev/` by Maven."""

import fcntl
import re
import shutil
import subprocess
import time
from pathlib import Path

from dev.process import ServerError

ROOT = Path(__file__).resolve().parent.parent
DOWNLOADS = ROOT / ".dev"
FETCH_TIMEOUT_S = 900.0
ATTEMPTS = 3
RETRY_DELAY_S = 5.0

# Name -> Maven goal and its options; what to fetch is in dev/NAME-pom.xml.
GOALS: dict[str, tuple[str, ...]] = {
    "kafka": ("dependency:copy-dependencies", "-DincludeScope=runtime"),
    "elasticsearch": ("dependency:unpack-dependencies", "-DexcludeTransitive=true"),
    "keycloak": ("dependency:unpack-dependencies", "-DexcludeTransitive=true"),
}


def version(name: str) -> str:
    """The version of server `name` that its pom asks for."""
    pom = (ROOT / "dev" / f"{name}-pom.xml").read_text()
    found = re.search(r"<server\.version>([^<]+)</server\.version>", pom)
    if found is None:
        raise ServerError(f"dev/{name}-pom.xml has no property server.version")
    return found.group(1)


def fetch(name: str) -> Path:
    """Return the folder of server `name`, downloading it when it is not there yet.

    The folder appears by one rename, so it is whole or absent; processes that ask at the same
    time wait for the first.

    Raises:
        ServerError: Maven failed, with the end of what it printed.
    """
    folder = DOWNLOADS / f"{name}-{version(name)}"
    if folder.is_dir():
        return folder
    DOWNLOADS.mkdir(exist_ok=True)
    with (DOWNLOADS / "fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            part = folder.with_name(folder.name + ".part")
            shutil.rmtree(part, ignore_errors=True)
            _download(name, part)
            part.rename(folder)
    return folder


def _download(name: str, folder: Path) -> None:
    """Run Maven, again after a pause when it fails: a registry may be out for a moment."""
    goal, *options = GOALS[name]
    pom = str(ROOT / "dev" / f"{name}-pom.xml")
    argv = ["mvn", "-q", "-B", "-f", pom, goal, f"-DoutputDirectory={folder}", *options]
    # Where Maven notes what it has unpacked; left to itself it is dev/target, and a note there
    # makes it skip the next, different folder.
    argv.append(f"-DmarkersDirectory={folder / 'markers'}")
    for attempt in range(1, ATTEMPTS + 1):
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=FETCH_TIMEOUT_S,
        )
        if done.returncode == 0:
            return
        if attempt < ATTEMPTS:
            time.sleep(RETRY_DELAY_S)
    raise ServerError(f"fetching {name} failed: {' '.join(argv)}\n{done.stdout[-4000:]}")
