#!/usr/bin/env bash
# What some live tests need and can do without: CrowdSec's programs out of Debian's package (taken
# apart, not installed: its set-up asks a server of CrowdSec's) and medallion, the TAXII server, in an
# environment of its own. Prints what to export; a part that cannot be had is left out.
set -uo pipefail
cd "$(dirname "$0")/.."
place="$PWD/.dev/optional"
mkdir -p "$place"

if [ ! -x "$place/crowdsec/usr/bin/crowdsec" ]; then
    (cd "$place" && apt-get download -qq crowdsec && dpkg-deb -x crowdsec_*.deb crowdsec) >&2 || true
fi
if [ -x "$place/crowdsec/usr/bin/crowdsec" ]; then
    echo "export PATH=\"$place/crowdsec/usr/bin:\$PATH\""
fi
if [ ! -x "$place/medallion/bin/medallion" ]; then
    (python3 -m venv "$place/medallion" && "$place/medallion/bin/pip" install --quiet \
        --disable-pip-version-check 'medallion==3.0.0' 'flask<2.3' 'werkzeug<2.3') >&2 || true
fi
if [ -x "$place/medallion/bin/medallion" ]; then
    echo "export TOCSIN_MEDALLION=\"$place/medallion/bin/medallion\""
fi
